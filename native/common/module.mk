# What the C programs share. COMMON_OBJ for products, $(SAN)/common.a for tests.
COMMON_SRC := $(wildcard common/*.c)
COMMON_OBJ := $(COMMON_SRC:%.c=$(OBJ)/%.o)

$(SAN)/common.a: $(COMMON_SRC:%.c=$(SAN)/%.o)
	rm -f $@ && $(AR) rcs $@ $^
