#![no_main]

use gateway_llm::peek::{PROMPT_MAX, peek, peek_without_content};
use gateway_llm::route::Api;
use gateway_llm::splice::stream_options_splice;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for api in [Api::Messages, Api::ChatCompletions, Api::Responses] {
        let mut seen = peek(api, data);
        if let Some(prompt) = &seen.prompt {
            assert!(!prompt.text.is_empty() && prompt.text.len() <= PROMPT_MAX && !prompt.text.contains('\0'));
        }
        let ids = [&seen.model, &seen.correlating_tool_call_id, &seen.session_in_body];
        for id in ids.into_iter().flatten() {
            assert!(id.len() <= 256 && !id.contains('\0'));
        }
        assert!(seen.object_ids.len() <= 17);
        seen.prompt = None;
        assert_eq!(peek_without_content(api, data), seen);
    }
    if let Some(splice) = stream_options_splice(data) {
        assert!(stream_options_splice(&splice.apply(data).concat()).is_none());
    }
});
