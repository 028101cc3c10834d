"""Runs the SCons that is installed from PyPI, under the name that PlatformIO looks for."""

import sys

from SCons.Script.Main import main

sys.exit(main())
