# Fuzzing of everything that reads what others wrote: one entry point; our own mutator under gcc, libFuzzer where clang has it.
FUZZ_PARSERS_SRC := test/fuzz-parsers/targets.c test/fuzz-parsers/targets_json.c
$(B)/test/fuzz-parsers/mutate: $(SAN)/test/fuzz-parsers/mutate.o $(FUZZ_PARSERS_SRC:%.c=$(SAN)/%.o) $(SAN_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) -fsanitize=address,undefined -o $@ $(filter %.o,$^) -Wl,--start-group $(SAN_ARCHIVES) -Wl,--end-group $(LIBDIR) -ljson-c
tests: $(B)/test/fuzz-parsers/mutate
TESTS += test/fuzz-parsers/test_fuzz_parsers.sh

# Everything compiled by clang, so that it sees the branches: make libfuzzer, then build/…/test/fuzz-parsers/libfuzzer DIRECTORY…
CLANG := $(firstword $(foreach name,clang clang-19 clang-16 clang-14,$(shell command -v $(name) 2>/dev/null)))
FUZZ_CLANG_SRC := $(FUZZ_PARSERS_SRC) $(COMMON_SRC) $(filter-out guard/main.c,$(wildcard guard/*.c)) $(filter-out runtime/main.c,$(wildcard runtime/*.c))
.PHONY: libfuzzer
libfuzzer: $(B)/test/fuzz-parsers/libfuzzer
$(B)/test/fuzz-parsers/libfuzzer: $(FUZZ_CLANG_SRC)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) -std=c11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -o $@ $(FUZZ_CLANG_SRC) -ljson-c
