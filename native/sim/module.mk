# The simulated GB10 driver. libcuda.so.1 and libnvidia-ml.so.1 need libc alone.
SIM_SHARED := machine
SIM_CUDA := driver device context context_state memory memory_v1 managed module green share vmm pool pool_location array array_map transfer transfer_shaped pointer stream \
  stream_value graph graph_memory errors ranges pages requests resolve
SIM_NVML := nvml nvml_processes
SIM_COMMON := error size meminfo

SIM_LIBS := $(B)/sim/libcuda.so.1 $(B)/sim/libnvidia-ml.so.1
LIBRARIES += $(SIM_LIBS)

$(B)/sim/libcuda.so.1: $(SIM_CUDA:%=$(OBJ)/sim/%.o)
$(B)/sim/libnvidia-ml.so.1: $(SIM_NVML:%=$(OBJ)/sim/%.o)
$(SIM_LIBS): $(SIM_SHARED:%=$(OBJ)/sim/%.o) $(SIM_COMMON:%=$(OBJ)/common/%.o)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_SHARED) -Wl,-soname,$(@F) -Wl,-Bsymbolic -Wl,--no-undefined -o $@ $^

# The engine that behaves like MAX on the driver API; its image is images/greedy.
GREEDY := $(B)/greedy
PROGRAMS += $(GREEDY)

GREEDY_OBJ := $(patsubst ../images/greedy/%.c,$(OBJ)/greedy/%.o,$(wildcard ../images/greedy/*.c))
$(OBJ)/greedy/%.o: ../images/greedy/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(GREEDY): $(GREEDY_OBJ) $(SIM_COMMON:%=$(OBJ)/common/%.o)
	$(CC) -pie -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack -o $@ $^ -ldl

# Tests link the same sources, built with sanitizers; test_sim_resolve also opens the libraries as built.
$(SAN)/sim.a: $(SIM_SHARED:%=$(SAN)/sim/%.o) $(SIM_CUDA:%=$(SAN)/sim/%.o) $(SIM_NVML:%=$(SAN)/sim/%.o)
	rm -f $@ && $(AR) rcs $@ $^

SIM_TESTS := $(patsubst test/sim/%.c,$(B)/test/%,$(wildcard test/sim/test_*.c))
TESTS += $(SIM_TESTS)

$(SAN)/test/sim/test_sim_resolve.o: CPPFLAGS += -DSIM_DIR='"$(abspath $(B)/sim)"'
$(SIM_TESTS): $(B)/test/%: $(SAN)/test/sim/%.o $(SAN)/sim.a $(SAN)/common.a $(SIM_LIBS)
	@mkdir -p $(@D)
	$(CC) -fsanitize=address,undefined -o $@ $< $(SAN)/sim.a $(SAN)/common.a -lpthread -ldl
