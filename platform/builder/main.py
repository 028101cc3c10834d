"""Builds a host program for an environment without a board, the firmware (ELF, BIN) for one with a board."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10: PlatformIO depends on pip, which carries it
    from pip._vendor import tomli as tomllib

from SCons.Script import AlwaysBuild, Builder, Default, DefaultEnvironment

env = DefaultEnvironment()
platform = env.PioPlatform()
platform_dir = Path(platform.get_dir())
project_dir = Path(env.subst("$PROJECT_DIR"))
testing = "test" in env["BUILD_TYPE"]
sys.path.insert(0, str(platform_dir))
from host_python import find_python  # noqa: E402

FLAGS = {
    name: flags.split()
    for name, _, flags in (
        line.partition(":") for line in (platform_dir / "flags.txt").read_text().splitlines()
    )
    if name and not name.startswith("#")
}


def fail(line: str) -> None:
    sys.stderr.write(line + "\n")
    env.Exit(1)


def compile_for() -> str:
    """The group of flags that the model asks for; tests have no model."""
    manifest = project_dir / "lib/nn_model/manifest.json"
    if testing or not manifest.is_file():
        return "speed"
    return json.loads(manifest.read_text(encoding="utf-8")).get("compile_for", "speed")


def build_host() -> None:
    """A host program: a kernel test, or the model's self-test in native/."""
    env.Replace(PROGNAME="program", PROJECT_SRC_DIR=str(platform_dir / "native"))
    if testing:
        env.Replace(SRC_FILTER=["-<*>"])
    Default(env.BuildProgram())


def build_firmware() -> None:
    board = env.BoardConfig()
    board_dir = project_dir / "boards" / board.id
    firmware_dir = project_dir / "firmware"
    facts = tomllib.loads((board_dir / "board.toml").read_text(encoding="utf-8"))
    # The image starts where the bootloader that the upload protocol talks to jumps to.
    offset = facts.get("app_offsets", {}).get(env.subst("$UPLOAD_PROTOCOL"), facts["app_offset"])
    clock_hz = int(env.GetProjectOption("custom_clock_hz"))
    env.Replace(
        PROGNAME="firmware",
        BOARD_F_CPU=clock_hz,  # what PlatformIO prints
        AR="arm-none-eabi-gcc-ar",
        AS="arm-none-eabi-as",
        CC="arm-none-eabi-gcc",
        CXX="arm-none-eabi-g++",
        GDB=shutil.which("arm-none-eabi-gdb") or "gdb-multiarch",
        OBJCOPY="arm-none-eabi-objcopy",
        RANLIB="arm-none-eabi-gcc-ranlib",
        SIZETOOL="arm-none-eabi-size",
        LINK=f'"$PYTHONEXE" "{platform_dir / "link.py"}" {board.id} "{project_dir / "lib/nn_model"}" $CC',
        PROGSUFFIX=".elf",
        LDSCRIPT_PATH=str(board_dir / facts["ld_script"]),
        SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
        SIZEPROGREGEXP=r"^(?:\.isr_vector|\.text|\.rodata|\.data)\s+(\d+).*",
        SIZEDATAREGEXP=r"^(?:\.data|\.bss|\.noinit|\.stack)\s+(\d+).*",
        SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    )
    env.Append(
        CCFLAGS=FLAGS["cortex-m4f"],
        CPPDEFINES=[
            ("BOARD_NAME", env.StringifyMacro(board.id)),
            ("BOARD_CLOCK_HZ", f"{clock_hz}u"),
            ("UART_BAUD", f"{env.GetProjectOption('monitor_speed')}u"),
        ],
        CPPPATH=[str(firmware_dir)],
        LINKFLAGS=[
            *FLAGS["cortex-m4f"],
            *FLAGS["link"],
            f"-Wl,--defsym=_app_offset={offset:#x}",
            f"-Wl,-Map={env.subst('$BUILD_DIR/firmware.map')}",
        ],
        LIBPATH=[str(firmware_dir)],  # where the boards' linker scripts find firmware.ld
        BUILDERS={
            "Binary": Builder(
                action=env.VerboseAction("$OBJCOPY -O binary $SOURCES $TARGET", "Building $TARGET"),
                suffix=".bin",
            )
        },
    )
    env.BuildSources("$BUILD_DIR/board", str(board_dir))
    if testing:  # a test has its own main() and no model
        env.Replace(SRC_FILTER=["+<startup.c>", "+<frame.c>"])
        if platform.is_embedded():  # the program runs before PlatformIO has opened the port
            env.Append(CPPDEFINES=[("TEST_WAIT_SECONDS", "3u")])

    elf = env.BuildProgram()
    binary = env.Binary("$BUILD_DIR/firmware", elf)
    Default(elf, binary)
    AlwaysBuild(
        env.AddPlatformTarget(
            "size", elf, env.VerboseAction("$SIZEPRINTCMD", "Sizes of $SOURCE"), "Program size"
        )
    )
    if platform.is_embedded():
        add_upload(board, elf, binary, offset)


def add_upload(board, elf, binary, offset: int) -> None:
    """`-t upload`: OpenOCD programs the ELF through an ST-LINK; Apollo3's serial bootloaders take the BIN."""
    protocol = env.subst("$UPLOAD_PROTOCOL")

    def through_bootloader(target, source, env):
        port = env.subst("$UPLOAD_PORT")
        if not port:
            fail(f"error: {board.id}: no serial port given; add --upload-port, for example /dev/ttyUSB0")
        line = [find_python(project_dir), "-m", "microai.boards.apollo3_upload", "--protocol", protocol]
        line += [
            "--port",
            port,
            "--baud",
            env.subst("$UPLOAD_SPEED"),
            "--address",
            hex(offset),
            str(source[0]),
        ]
        return subprocess.run(line).returncode

    if protocol == "stlink":
        options = " ".join(f'"{a}"' for a in platform.openocd_arguments(board.get("debug.openocd_target")))
        env.Replace(UPLOADCMD=f'openocd -d1 {options} -c "program {{$SOURCE}} verify reset; shutdown;"')
    elif protocol not in ("asb", "svl", "custom"):
        fail(f"error: {board.id}: unknown upload_protocol {protocol!r}; use stlink, asb, svl or custom")
    source, action = (binary, through_bootloader) if protocol in ("asb", "svl") else (elf, "$UPLOADCMD")
    AlwaysBuild(
        env.AddPlatformTarget("upload", source, env.VerboseAction(action, "Uploading $SOURCE"), "Upload")
    )


env.Append(CCFLAGS=FLAGS["numeric"] + FLAGS[compile_for()] + FLAGS["object"] + FLAGS["warn"])
build_firmware() if "BOARD" in env else build_host()
