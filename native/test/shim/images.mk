# What test_images.sh puts into images, built for the oldest C library that was fetched; else for this machine's.
IMAGES := build/images
IMAGE_SYSROOT := $(abspath $(wildcard $(IMAGES)/$(ARCH)/sysroot))
# -B: gcc looks beside itself before it looks into the sysroot.
IMAGE_LIBRARIES := $(addsuffix /usr/lib/$(ARCH)-linux-gnu,$(IMAGE_SYSROOT))
IMAGE_CC = $(CC) $(addprefix --sysroot=,$(IMAGE_SYSROOT)) $(addprefix -B,$(IMAGE_LIBRARIES)) $(addprefix -L,$(IMAGE_LIBRARIES)) -D_GNU_SOURCE -I. -std=c11 -O1 $(WARN) -fPIC -fvisibility=hidden
MUSL := $(if $(filter x86_64,$(ARCH)),$(wildcard $(IMAGES)/musl/usr/lib/$(ARCH)-linux-musl))
IT := $(B)/test/images
IMAGE_FILES := $(addprefix $(IT)/,loader_probe libcuda.so.580.95.05 libnvidia-ml.so.1 libown.so says_hello_static) \
  $(if $(MUSL),$(IT)/says_hello_musl) $(if $(IMAGE_SYSROOT),$(IT)/old) $(ST)/make_ledger
TESTS += test/shim/test_images.sh
tests: $(IMAGE_FILES)

$(IT)/loader_probe: test/shim/loader_probe.c
$(IT)/libcuda.so.580.95.05: $(addprefix test/shim/,fake_cuda.c fake_cuda_pools.c fake_cuda_rest.c)
$(IT)/libnvidia-ml.so.1: test/shim/fake_nvml.c
$(IT)/libown.so: test/shim/own_preload.c
$(IT)/says_hello_static $(IT)/says_hello_musl: test/shim/says_hello.c
$(IT)/loader_probe:
	@mkdir -p $(@D)
	$(IMAGE_CC) -o $@ $< -Wl,--no-as-needed -ldl
$(IT)/libcuda.so.580.95.05 $(IT)/libnvidia-ml.so.1 $(IT)/libown.so:
	@mkdir -p $(@D)
	$(IMAGE_CC) -shared -Wl,-Bsymbolic -Wl,-soname,$(patsubst libcuda.so.%,libcuda.so.1,$(@F)) -o $@ $^ -Wl,--no-as-needed -ldl
$(IT)/says_hello_static:
	@mkdir -p $(@D)
	$(CC) -static -O1 -o $@ $<
$(IT)/says_hello_musl:
	@mkdir -p $(@D)
	$(CC) -nostdinc -isystem $(IMAGES)/musl/usr/include/$(ARCH)-linux-musl -nostdlib -O1 -o $@ $(MUSL)/crt1.o $(MUSL)/crti.o $< \
	  -L$(MUSL) -lc $(MUSL)/crtn.o -Wl,-dynamic-linker,/lib/ld-musl-$(ARCH).so.1
$(IT)/old: $(IT)/loader_probe
	touch $@
$(ST)/make_ledger: $(OBJ)/test/shim/make_ledger.o $(OBJ)/common/ledger.o $(OBJ)/common/error.o
	@mkdir -p $(@D)
	$(CC) -o $@ $^
