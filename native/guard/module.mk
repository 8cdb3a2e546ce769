# spark-guard, and the rest of it as an archive for tests.
GUARD_SRC := $(filter-out guard/main.c,$(wildcard guard/*.c))

$(B)/spark-guard: $(OBJ)/guard/main.o $(GUARD_SRC:%.c=$(OBJ)/%.o) $(COMMON_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_STATIC) -o $@ $^
PROGRAMS += $(B)/spark-guard

$(SAN)/guard.a: $(GUARD_SRC:%.c=$(SAN)/%.o)
	rm -f $@ && $(AR) rcs $@ $^
