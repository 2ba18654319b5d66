#![no_main]

use gateway_llm::route::Api;
use gateway_llm_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(input) = Input::parse(data) {
        input.check_stream(Api::Messages);
    }
});
