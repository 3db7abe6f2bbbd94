#!/bin/sh
# Makes sure a Chromium is at hand for the end-to-end tests; installs Debian's where that is possible.
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if ! command -v apt-get >/dev/null 2>&1; then
  echo "No Chromium found; install one, or the end-to-end tests are skipped." >&2
  exit 0
fi
run=""
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then run="sudo -n"; else
    echo "No Chromium found; run 'sudo apt-get install chromium', or the end-to-end tests are skipped." >&2
    exit 0
  fi
fi
echo "Installing Debian's chromium for the end-to-end tests" >&2
$run apt-get update -qq && DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null ||
  echo "Chromium could not be installed; the end-to-end tests are skipped." >&2
exit 0
