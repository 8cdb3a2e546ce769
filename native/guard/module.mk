# spark-guard, and the rest of it as an archive for tests.
GUARD_SRC := $(filter-out guard/main.c,$(wildcard guard/*.c))

$(B)/spark-guard: $(OBJ)/guard/main.o $(GUARD_SRC:%.c=$(OBJ)/%.o) $(COMMON_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_STATIC) -o $@ $^
PROGRAMS += $(B)/spark-guard

$(SAN)/guard.a: $(GUARD_SRC:%.c=$(SAN)/%.o)
	rm -f $@ && $(AR) rcs $@ $^

# A stand-in for a program that takes driver memory, for test/engine/guard.test.ts.
$(B)/test/guard-fill: $(OBJ)/test/guard/fill.o
	@mkdir -p $(@D)
	$(CC) -static -o $@ $^
PROGRAMS += $(B)/test/guard-fill
