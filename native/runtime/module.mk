# spark-runtime and spark-hook: one static program with two names.
RUNTIME_SRC := $(filter-out runtime/main.c,$(wildcard runtime/*.c))
RUNTIME_OBJ := $(RUNTIME_SRC:%.c=$(OBJ)/%.o)

PROGRAMS += $(B)/spark-runtime $(B)/spark-hook

# Another architecture's json-c: Debian's libjson-c-dev, unpacked.
JSON_HEADER := $(if $(SYSROOT),$(SYSROOT)/usr/include/json-c/json.h)
ifneq ($(JSON_HEADER),)
$(JSON_HEADER):
	@echo "native: $@ is missing, and building for $(ARCH) needs it; unpack it with: sh bin/bootstrap.sh test" >&2; exit 1
endif

$(RUNTIME_OBJ) $(OBJ)/runtime/main.o: | $(JSON_HEADER)

$(B)/spark-runtime: $(OBJ)/runtime/main.o $(RUNTIME_OBJ) $(COMMON_OBJ)
	$(CC) $(LDFLAGS_STATIC) -o $@ $^ $(JSON_LIBS)

# A copy, not a hard link: npm pack never ends on a link between two packed files.
$(B)/spark-hook: $(B)/spark-runtime
	cp -f $< $@

$(SAN)/runtime.a: $(RUNTIME_SRC:%.c=$(SAN)/%.o)
	rm -f $@ && $(AR) rcs $@ $^

# The same program under the sanitizers, for the golden tests: SPARK_RUN_TEST_RUNTIME=native/build/<arch>/san/spark-runtime
$(SAN)/spark-runtime: $(SAN)/runtime/main.o $(SAN)/runtime.a $(SAN)/common.a
	$(CC) -fsanitize=address,undefined -o $@ $< -Wl,--start-group $(SAN)/runtime.a $(SAN)/common.a -Wl,--end-group $(LIBDIR) -ljson-c
