# What test/bench/guard.js runs: loads, and the observer that times what a tool does against them. Built by its own goal alone.
$(B)/test/bench/guard-load: $(OBJ)/test/bench/guard/load.o
$(B)/test/bench/guard-observe: $(OBJ)/test/bench/guard/observe.o $(OBJ)/common/meminfo.o $(OBJ)/guard/proc_file.o
$(B)/test/bench/guard-load $(B)/test/bench/guard-observe:
	@mkdir -p $(@D)
	$(CC) -static -o $@ $^
.PHONY: bench-guard
bench-guard: $(B)/spark-guard $(B)/test/bench/guard-load $(B)/test/bench/guard-observe
