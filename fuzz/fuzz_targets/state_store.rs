#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        // redb panics at some rotten pages, and the store makes an error of that: only a panic that nobody catches is a finding.
        let _ = std::panic::take_hook();
    },
    |bytes: &[u8]| (fuzz_targets::target("state_store").run)(bytes)
);
