# Toolchain file for a bare Cortex-M4F: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/arm-none-eabi.cmake ...
include("${CMAKE_CURRENT_LIST_DIR}/flags.cmake")

set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR cortex-m4)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # a program would need a linker script
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

microai_flags(flags cortex-m4f)
list(JOIN flags " " CMAKE_C_FLAGS_INIT)
