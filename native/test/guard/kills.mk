# Kill after kill on real cgroups with the guard as it is shipped; the harness is small, so that a fork of it costs little.
RIG_OBJ := $(addprefix $(OBJ)/test/guard/,rig.o rig_container.o rig_read.o)
RIG_PROGRAMS := $(addprefix $(B)/test/guard/,kills restarts)
$(RIG_PROGRAMS): $(B)/test/guard/%: $(OBJ)/test/guard/%.o $(RIG_OBJ) $(OBJ)/guard/proc_file.o $(addprefix $(OBJ)/common/,registry.o liveness.o process.o error.o)
	@mkdir -p $(@D)
	$(CC) -static -o $@ $^
tests: $(RIG_PROGRAMS)
TESTS += test/guard/test_kills.sh test/guard/test_restarts.sh test/guard/test_surroundings.sh
