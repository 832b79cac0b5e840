# Installs what a bare Debian-like machine lacks; does nothing where all is there. Sourced by .ci/run.

# Debian packages of the tools that are missing, one a line.
missing_packages() {
  command -v g++ >/dev/null || echo g++
  command -v make >/dev/null || echo make
  command -v nm >/dev/null || echo binutils
  has_recent_cmake || echo cmake
  command -v python3 >/dev/null || echo python3
  python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
  python3 -c 'import os, sysconfig as s, sys; sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))' \
    2>/dev/null || echo python3-dev
  command -v aarch64-linux-gnu-g++ >/dev/null || echo g++-aarch64-linux-gnu
  command -v qemu-aarch64 >/dev/null || command -v qemu-aarch64-static >/dev/null || echo qemu-user
}

has_recent_cmake() {  # presets of version 3 came with CMake 3.21
  command -v cmake >/dev/null &&
    cmake --version | awk 'NR == 1 { split($3, v, "."); exit !(v[1] > 3 || (v[1] == 3 && v[2] >= 21)) }'
}

install_tools() {
  local packages as_root=()
  mapfile -t packages < <(missing_packages)
  if [ "${#packages[@]}" -gt 0 ]; then
    echo "missing: ${packages[*]}"
    command -v apt-get >/dev/null || { echo "no apt-get here: install them by hand"; return 1; }
    if [ "$(id -u)" -ne 0 ]; then
      sudo -n true || { echo "neither root nor sudo without a password: install them by hand"; return 1; }
      as_root=(sudo -n)
    fi
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
    mapfile -t packages < <(missing_packages)
    [ "${#packages[@]}" -eq 0 ] || { echo "still missing: ${packages[*]}"; return 1; }
  fi
  g++ --version | head -n 1
  aarch64-linux-gnu-g++ --version | head -n 1
  cmake --version | head -n 1
  python3 --version
  nproc | sed 's/$/ processors/'
}
