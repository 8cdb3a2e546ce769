# A unit test is native/test/test_<what>.c; it may call anything in common/, runtime/ and guard/ except their main.c.
# Tests that need another shape of link (shared libraries, preloads) are built by the module they test.
UNIT_TESTS := $(patsubst test/%.c,$(B)/test/%,$(wildcard test/test_*.c))
TESTS += $(UNIT_TESTS)

SAN_ARCHIVES := $(SAN)/runtime.a $(SAN)/guard.a $(SAN)/common.a

$(UNIT_TESTS): $(B)/test/%: $(SAN)/test/%.o $(SAN_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) -fsanitize=address,undefined -o $@ $< -Wl,--start-group $(SAN_ARCHIVES) -Wl,--end-group $(LIBDIR) -ljson-c -lpthread

include test/fuzz-parsers/fuzz.mk
include test/bench/guard/guard.mk
include test/guard/kills.mk
