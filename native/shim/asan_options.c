/* Programs built with a shared AddressSanitizer (gcc's default) stop at once when any library, preloaded by the machine as we are, comes
   before the sanitizer's own. It asks this function for other defaults before it checks; what the program's own function of this name
   or ASAN_OPTIONS says goes before ours. All we put before it are functions that call on to the next library, so its own still see every call. */
__attribute__ ((visibility ("default"))) const char *__asan_default_options (void);

const char *
__asan_default_options (void)
{
  return "verify_asan_link_order=0";
}
