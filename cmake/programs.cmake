# Tests and firmware. With the Arm toolchain file and -DBOARD=<folder of boards/>, both are images of that board, and
# ctest runs the tests on its virtual twin.
set(BOARD "" CACHE STRING "Board of the firmware and the tests: a folder of boards/ (empty: the host)")
set(BOARD_CLOCK_HZ 48000000 CACHE STRING "Core clock of the board in Hz")
set(UART_BAUD 115200 CACHE STRING "Speed of the board's serial port")
set(STACK_BYTES "" CACHE STRING "Bytes that the firmware reserves for its stack (empty: as the linker script says)")
set(APP_OFFSET "" CACHE STRING "Start of the image in flash, for a bootloader other than the board's own")

function(host_program name)
    add_executable(${name} ${ARGN})
    target_compile_options(${name} PRIVATE ${MICROAI_FLAGS})
endfunction()

# An image of BOARD from these sources, with the board's own; also as name.bin, ready to be flashed.
function(board_program name)
    set(board_dir "${PROJECT_SOURCE_DIR}/boards/${BOARD}")
    set(firmware_dir "${PROJECT_SOURCE_DIR}/firmware")
    file(STRINGS "${board_dir}/board.toml" ld_script REGEX "^ld_script = ")
    string(REGEX REPLACE "^ld_script = \"([^\"]*)\".*" "${board_dir}/\\1" ld_script "${ld_script}")
    microai_flags(link_flags link)

    host_program(${name} ${ARGN} "${board_dir}/board.c")
    target_include_directories(${name} PRIVATE "${firmware_dir}")
    target_compile_definitions(
        ${name} PRIVATE BOARD_NAME="${BOARD}" BOARD_CLOCK_HZ=${BOARD_CLOCK_HZ}u UART_BAUD=${UART_BAUD}u
    )
    target_link_options(${name} PRIVATE ${link_flags} -T "${ld_script}" -L "${firmware_dir}" -Wl,-Map=${name}.map)
    if(APP_OFFSET)
        target_link_options(${name} PRIVATE -Wl,--defsym=_app_offset=${APP_OFFSET})
    endif()
    set_target_properties(
        ${name}
        PROPERTIES
            SUFFIX .elf
            LINK_DEPENDS "${ld_script};${firmware_dir}/firmware.ld"
            C_LINKER_LAUNCHER
                "${PYTHON};${PROJECT_SOURCE_DIR}/platform/link.py;${BOARD};${MICROAI_MODEL_DIR}"
    )
    add_custom_command(
        TARGET ${name} POST_BUILD COMMAND ${CMAKE_OBJCOPY} -O binary $<TARGET_FILE:${name}> ${name}.bin
    )
endfunction()

file(GLOB test_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/test/test_kernels/*.c")

if(BOARD)
    if(NOT CMAKE_CROSSCOMPILING)
        message(FATAL_ERROR "BOARD=${BOARD} needs -DCMAKE_TOOLCHAIN_FILE=cmake/arm-none-eabi.cmake")
    elseif(NOT EXISTS "${PROJECT_SOURCE_DIR}/boards/${BOARD}/board.toml")
        message(FATAL_ERROR "there is no board ${BOARD}: boards/${BOARD}/board.toml does not exist")
    endif()
    find_program(PYTHON NAMES python3 python REQUIRED)
    execute_process(
        COMMAND ${PYTHON} "${PROJECT_SOURCE_DIR}/platform/host_python.py"
        OUTPUT_VARIABLE microai_python
        OUTPUT_STRIP_TRAILING_WHITESPACE
        ERROR_VARIABLE no_microai
        ERROR_STRIP_TRAILING_WHITESPACE
    )
    if(no_microai)
        message(WARNING "no virtual board to run tests on: ${no_microai}")
    endif()
    set(CMAKE_CROSSCOMPILING_EMULATOR
        "${microai_python};-m;microai.boards;run;--board;${BOARD};--stdio;--no-cycles;--max-seconds;120"
    )
    set(firmware_dir "${PROJECT_SOURCE_DIR}/firmware")
    board_program(test_kernels ${test_sources} "${firmware_dir}/startup.c" "${firmware_dir}/frame.c")
    if(TARGET nn_model)
        file(GLOB firmware_sources CONFIGURE_DEPENDS "${firmware_dir}/*.c")
        board_program(firmware ${firmware_sources})
        target_link_libraries(firmware PRIVATE nn_model)
        if(STACK_BYTES)
            target_link_options(firmware PRIVATE -Wl,--defsym=_stack_size=${STACK_BYTES})
        endif()
    endif()
elseif(NOT CMAKE_CROSSCOMPILING)
    host_program(test_kernels ${test_sources})
    if(TARGET nn_model)
        host_program(model_selftest "${PROJECT_SOURCE_DIR}/platform/native/main.c")
        target_link_libraries(model_selftest PRIVATE nn_model)
        add_test(NAME model_selftest COMMAND model_selftest)
    endif()
endif()

if(TARGET test_kernels)
    target_link_libraries(test_kernels PRIVATE nn_runtime)
    add_test(NAME test_kernels COMMAND test_kernels)
    # An image on a virtual board has no exit status: the summary line decides.
    set_tests_properties(
        test_kernels PROPERTIES PASS_REGULAR_EXPRESSION " 0 Failures" FAIL_REGULAR_EXPRESSION ":FAIL"
    )
endif()
