# Tests of the shim. Units run under sanitizers; the whole shim is preloaded into ordinary programs with a fake driver beside them.
ST := $(B)/test/shim
SHIM_UNITS := $(addprefix $(ST)/,test_track test_vmm_table test_ledger_client test_budget_figures test_meminfo_text)
SHIM_PROGRAMS := $(addprefix $(ST)/,test_redirect test_scopes test_hooks test_contexts test_agrees test_trace test_sharing test_race test_same_address test_programs test_live_bytes)
SHIM_PROGRAMS += $(addprefix $(ST)/,test_host_views test_host_figures test_limits test_pools test_kinds test_ipc test_nvml test_kernel_module test_tight_places)
SHIM_LIBRARIES := $(B)/libspark-shim.so $(SHIM_REDIRECTS)
SHIM_FAKES := $(addprefix $(ST)/fake/,libcuda.so.1 libcuda.so libcuda.so.580.1 libnvidia-ml.so.1) $(B)/test/fuzz/plain/libcuda.so.1
SHIM_HELPERS := $(ST)/old/libnvidia-ml.so.1 $(ST)/linked_app $(ST)/caller/libcaller.so $(ST)/caller/libprivate.so \
  $(ST)/caller/libcuda.so.77 $(ST)/caller/liblinked.so $(ST)/caller/libinterposer.so
TESTS += $(SHIM_UNITS) $(SHIM_PROGRAMS) $(addprefix test/shim/,test_in_cgroup.sh test_sanitized.sh test_aarch64.sh test_symbols.sh)

# All of the shim but what only a preload can do.
$(SAN)/shim.a: $(addprefix $(SAN)/shim/,lock.o table.o track.o vmm_table.o ledger_client.o budget.o cgroup_memory.o resolve.o elf_symbols.o meminfo_text.o)
	rm -f $@ && $(AR) rcs $@ $^

$(SHIM_UNITS): $(ST)/%: $(SAN)/test/shim/%.o $(SAN)/shim.a $(SAN)/common.a
	@mkdir -p $(@D)
	$(CC) -fsanitize=address,undefined -o $@ $^ -lpthread

$(SHIM_PROGRAMS): $(ST)/%: $(OBJ)/test/shim/%.o $(OBJ)/common/ledger.o $(OBJ)/common/error.o | $(SHIM_LIBRARIES) $(SHIM_FAKES) $(SHIM_HELPERS) $(B)/sim/libcuda.so.1
	@mkdir -p $(@D)
	$(CC) -o $@ $^ -ldl -lpthread

$(ST)/fake/libcuda.so.1: $(addprefix $(OBJ)/test/shim/,fake_cuda.o fake_cuda_pools.o fake_cuda_rest.o)
$(ST)/fake/libnvidia-ml.so.1: $(OBJ)/test/shim/fake_nvml.o
$(ST)/old/libnvidia-ml.so.1: $(OBJ)/test/shim/fake_nvml_old.o
$(ST)/fake/libcuda.so.1 $(ST)/fake/libnvidia-ml.so.1 $(ST)/old/libnvidia-ml.so.1:
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-Bsymbolic -Wl,-soname,$(@F) -o $@ $^ -ldl
$(ST)/fake/libcuda.so $(ST)/fake/libcuda.so.580.1 $(ST)/caller/libcuda.so.77: $(ST)/fake/libcuda.so.1
	@mkdir -p $(@D)
	cp -f $< $@

$(ST)/caller/libcaller.so: $(OBJ)/test/shim/caller.o
	@mkdir -p $(@D)
	$(CC) -shared -Wl,--enable-new-dtags -Wl,-rpath,'$$ORIGIN' -o $@ $^ -ldl
$(ST)/caller/libinterposer.so: $(OBJ)/test/shim/interposer.o
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $^ -ldl
$(ST)/caller/liblinked.so: $(OBJ)/test/shim/linked_library.o $(ST)/fake/libcuda.so.1
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $^
$(ST)/caller/libprivate.so:
	@mkdir -p $(@D)
	$(CC) -shared -nostdlib -o $@ -x c /dev/null
$(ST)/linked_app: $(OBJ)/test/shim/linked_app.o $(ST)/fake/libcuda.so.1
	$(CC) -o $@ $^

# The whole shim with sanitizers in it, beside redirect libraries of its own. -fsanitize takes the stack guard's place.
SHIM_SAN_OBJ := $(SHIM_SRC:%.c=$(B)/san-shim/%.o) $(B)/san-shim/common/meminfo.o
$(SHIM_SAN_OBJ): $(B)/san-shim/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(SAN_FLAGS) -fPIC -fvisibility=hidden -c -o $@ $<
$(B)/san-shim/libspark-shim.so: $(SHIM_SAN_OBJ) $(OBJ)/shim/dlopen.o $(SHIM_LIBRARIES)
	cp -f $(SHIM_REDIRECTS) $(@D)
	$(CC) -fsanitize=address,undefined -shared -Wl,-Bsymbolic -Wl,-soname,$(@F) -o $@ $(filter %.o,$^)
tests: $(B)/san-shim/libspark-shim.so
-include $(SHIM_SAN_OBJ:.o=.d)

# The fuzz programs: the shim linked in, without what only a preload can do, once for each sanitizer; the driver beside them.
FUZZ_SRC := $(addprefix shim/,lock.c table.c track.c vmm_table.c ledger_client.c budget.c cgroup_memory.c resolve.c elf_symbols.c call.c process.c log.c \
  trace.c hooks.c nvml.c) $(wildcard shim/cuda_*.c) $(addprefix common/,meminfo.c ledger.c error.c) $(addprefix test/fuzz/,fuzz.c calls.c calls_other.c calls_graph.c calls_lent.c)
FUZZ_DRIVER := driver driver_vmm driver_graph driver_context driver_names
FUZZ_KINDS := asan tsan plain
FUZZ_FLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_FLAGS_tsan := -fsanitize=thread


define FUZZ_BUILD
$(B)/fuzz-$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$(CC) $(CPPFLAGS) -std=c11 -O1 -g $(WARN) $$(FUZZ_FLAGS_$(1)) -fPIC -fno-omit-frame-pointer -MMD -MP -c -o $$@ $$<
$(B)/test/fuzz/$(1)/libcuda.so.1: $(FUZZ_DRIVER:%=$(B)/fuzz-$(1)/test/fuzz/%.o)
	@mkdir -p $$(@D)
	$(CC) $$(FUZZ_FLAGS_$(1)) -shared -Wl,-Bsymbolic -Wl,-soname,libcuda.so.1 -o $$@ $$^ -ldl
$(B)/test/fuzz/$(1)/fuzz: $(FUZZ_SRC:%.c=$(B)/fuzz-$(1)/%.o) $(B)/test/fuzz/$(1)/libcuda.so.1
	$(CC) $$(FUZZ_FLAGS_$(1)) -rdynamic -o $$@ $$^ -Wl,-rpath,'$$$$ORIGIN' -ldl -lpthread
-include $(FUZZ_SRC:%.c=$(B)/fuzz-$(1)/%.d) $(FUZZ_DRIVER:%=$(B)/fuzz-$(1)/test/fuzz/%.d)
endef
FUZZ_UNITS := $(addprefix $(B)/test/fuzz/tsan/,test_ledger_client test_track)
$(FUZZ_UNITS): $(B)/test/fuzz/tsan/%: $(B)/fuzz-tsan/test/shim/%.o $(addprefix $(B)/fuzz-tsan/,shim/lock.o shim/table.o shim/track.o shim/ledger_client.o common/ledger.o common/error.o)
	@mkdir -p $(@D)
	$(CC) $(FUZZ_FLAGS_tsan) -o $@ $^ -lpthread

tests: $(addprefix $(B)/test/fuzz/,asan/fuzz tsan/fuzz) $(FUZZ_UNITS)
TESTS += test/fuzz/test_fuzz.sh
.PHONY: fuzz
fuzz: tests
	sh test/fuzz/run.sh $(or $(SECONDS),1800) $(or $(SEED),1000)

$(foreach kind,$(FUZZ_KINDS),$(eval $(call FUZZ_BUILD,$(kind))))

# What test/bench measures: the hooked calls beside a second copy of the fake driver that nobody hooks.
$(ST)/fake/libbare.so: $(addprefix $(OBJ)/test/shim/,fake_cuda.o fake_cuda_pools.o fake_cuda_rest.o)
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-Bsymbolic -Wl,-soname,$(@F) -o $@ $^ -ldl
$(B)/test/bench/alloc: $(OBJ)/test/bench/bench_alloc.o $(OBJ)/common/ledger.o $(OBJ)/common/error.o | $(SHIM_LIBRARIES) $(SHIM_FAKES) $(ST)/fake/libbare.so
	@mkdir -p $(@D)
	$(CC) -o $@ $^ -ldl
.PHONY: bench
bench: $(B)/test/bench/alloc
