/* native/common/rm_abi.h asks for it, and a kernel has its own. */
#include <linux/types.h>
