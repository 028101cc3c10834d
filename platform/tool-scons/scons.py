"""Runs the SCons of this interpreter's site-packages; PlatformIO looks for a file of this name in its tool-scons package."""

import sys

from SCons.Script.Main import main

sys.exit(main())
