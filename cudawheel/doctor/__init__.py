"""What keeps this machine from building a wheel or running a kernel: looked for, judged, told in one line each."""
