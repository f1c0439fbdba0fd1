#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| appview_core_fuzz::canonical(input));
