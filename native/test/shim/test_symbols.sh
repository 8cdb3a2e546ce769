#!/bin/sh
# The shim is loaded into every program of a container, whatever glibc its image has: it may name old symbol versions only, and need
# nothing but the C library. Runs in native/.
set -u
count=0 failed=0
result() { # ok|not ok, sentence
  count=$((count + 1))
  [ "$1" = ok ] || failed=$((failed + 1))
  printf '%s %d - %s\n' "$1" "$count" "$2"
}

# Version $1 <= $2, both as in 2.17.
not_above() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$2" ]; }

for arch_limit in x86_64:2.14 aarch64:2.17; do
  arch=${arch_limit%:*} limit=${arch_limit#*:}
  build=build/$arch
  if [ ! -f "$build/libspark-shim.so" ]; then
    count=$((count + 1))
    echo "ok $count - symbol versions on $arch # SKIP not built; make ARCH=$arch builds it"
    continue
  fi
  above=
  for symbol in $(readelf --dyn-syms -W "$build/libspark-shim.so" | awk '$7 == "UND" && $8 ~ /@/ { print $8 }'); do
    version=${symbol##*@GLIBC_}
    case $version in
      *[!0-9.]*) above="$above $symbol" ;;
      *) not_above "$version" "$limit" || above="$above $symbol" ;;
    esac
  done
  if [ -z "$above" ]; then
    result ok "on $arch the shim names nothing newer than GLIBC_$limit"
  else
    echo "# newer than GLIBC_$limit:$above"
    result 'not ok' "on $arch the shim names nothing newer than GLIBC_$limit"
  fi

  # On aarch64 the stack protector's guard lives in the loader, which is part of the C library.
  needed=$(readelf -dW "$build/libspark-shim.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-linux' | tr '\n' ' ')
  [ "$needed" = 'libc.so.6 ' ] && state=ok || { echo "# needs: $needed"; state='not ok'; }
  result "$state" "on $arch the shim needs the C library alone"

  for pair in cuda:libcuda.so.1 nvml:libnvidia-ml.so.1; do
    library=libspark-${pair%%:*}.so
    needed=$(readelf -dW "$build/$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' ')
    [ "$needed" = "libspark-shim.so ${pair#*:} " ] && state=ok || { echo "# needs: $needed"; state='not ok'; }
    result "$state" "on $arch $library needs the shim first, then ${pair#*:}"
  done

  # Exactly the tables of hooks, and what leads there.
  wanted=$(sed -n -e 's/^  X (\([a-zA-Z0-9_]*\), \([a-zA-Z0-9_]*\),.*/\2/p' -e 's/^  X (\(nvml[a-zA-Z0-9_]*\)).*/\1/p' shim/hooks.h
    sed -n 's/^  X (\([a-zA-Z0-9_]*\)).*/\1/p' shim/host_hooks.h; printf '%s\n' dlopen dlmopen __asan_default_options)
  exported=$(readelf --dyn-syms -W "$build/libspark-shim.so" | awk '$7 != "UND" && $5 == "GLOBAL" { print $8 }')
  statement="on $arch the shim exports its tables of hooks, dlopen, dlmopen and a default for AddressSanitizer, nothing else"
  if [ "$(echo "$wanted" | sort)" = "$(echo "$exported" | sort)" ]; then
    result ok "$statement"
  else
    echo "# exported: $(echo $exported)"
    result 'not ok' "$statement"
  fi
done

# Only through that macro is a hook passed through without a ledger, and traced (shim/call.h).
wanted=$(sed -n -e 's/^  X (\([a-zA-Z0-9_]*\), \([a-zA-Z0-9_]*\),.*/\2/p' -e 's/^  X (\(nvml[a-zA-Z0-9_]*\)).*/\1/p' shim/hooks.h | sort)
shaped=$(sed -n -e 's/^SPARK_[A-Z0-9]*_HOOK (\([a-zA-Z0-9_]*\),.*/\1/p' \
  -e 's/^SPARK_HOOK_OF ("[a-z]*", .*), \([a-zA-Z0-9_]*\),.*/\1/p' shim/*.c | sort)
if [ "$wanted" = "$shaped" ]; then
  result ok 'every hook of the table is written in the shape that traces it'
else
  echo "# table: $(echo $wanted)"
  echo "# shaped: $(echo $shaped)"
  result 'not ok' 'every hook of the table is written in the shape that traces it'
fi
echo "1..$count"
[ "$failed" -eq 0 ]
