#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shared_security_fuzz::jwks::any(bytes));
