# The shim: one library with all code, and two without any, whose order of DT_NEEDED puts our functions before the driver's.
SHIM_SRC := $(wildcard shim/*.c)
# Our functions run on stacks of threads and signal handlers that have 16 or 8 KiB in all.
$(OBJ)/shim/%.o: CFLAGS += -Wframe-larger-than=3072
SHIM_OBJ := $(SHIM_SRC:%.c=$(OBJ)/%.o) $(OBJ)/shim/dlopen.o
SHIM_STUB := $(OBJ)/shim/stub
SHIM_REDIRECTS := $(B)/libspark-cuda.so $(B)/libspark-nvml.so
LIBRARIES += $(B)/libspark-shim.so $(SHIM_REDIRECTS)

$(OBJ)/shim/dlopen.o: shim/dlopen.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(HARDEN) -g -c -o $@ $<

$(B)/libspark-shim.so: $(SHIM_OBJ) $(OBJ)/common/meminfo.o
	$(CC) $(LDFLAGS_SHARED) -Wl,-z,defs -Wl,-Bsymbolic -Wl,-soname,$(@F) -o $@ $^

# What the driver's library looks like to the linker: a name.
$(SHIM_STUB)/%:
	@mkdir -p $(@D)
	$(CC) -shared -nostdlib -Wl,-soname,$(@F) -o $@ -x c /dev/null

$(B)/libspark-cuda.so: $(B)/libspark-shim.so $(SHIM_STUB)/libcuda.so.1
$(B)/libspark-nvml.so: $(B)/libspark-shim.so $(SHIM_STUB)/libnvidia-ml.so.1
$(SHIM_REDIRECTS):
	$(CC) -shared -nostdlib -Wl,--no-as-needed -Wl,-soname,$(@F) -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--build-id=sha1 -o $@ $^
include test/shim/tests.mk test/shim/images.mk
