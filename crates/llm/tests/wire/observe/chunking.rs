//! However an answer is cut into chunks, the same is seen of it.

use std::sync::LazyLock;

use gateway_llm::observe::{BodyObserver, End, ObserveOptions, StreamObserver};
use gateway_llm::route::Api;
use proptest::prelude::*;

use super::fixtures::{Case, cases};
use super::{ALL, read, watch};

static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases);

const APIS: [Api; 3] = [Api::Messages, Api::ChatCompletions, Api::Responses];

fn chunked<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    at.extend([0, text.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect()
}

/// Pieces that make up streams, valid ones and others.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "event: message_stop",
        "event: error",
        "event: ping",
        "event:",
        "event: response.completed",
        "data: {\"type\":\"message_stop\"}",
        "data: {\"type\":\"ping\"}",
        "data: {\"type\":\"ping\",\"type\":\"error\"}",
        "data: {\"ty\\u0070e\":\"response.failed\",\"response\":{\"id\":\"r\",\"status\":\"failed\"}}",
        "data: [DONE]",
        "data:[DONE] ",
        "data: [DO",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}",
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{\"a\":[1, 2]}}}",
        "data: {\"type\":\"content_block_stop\",\"index\":0}",
        "data: {",
        "data: }",
        "data: \"type\":\"error\"}",
        "data: {\"type\":",
        "data: \"message_stop\"}",
        "data: 1",
        "data:",
        "data",
        "id: 5",
        ": comment",
        "x",
        "\u{feff}",
        "data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"name\":\"f\"}}",
        "\n",
        "\n",
        "\n",
        "\n\n",
        "\n\n",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\r\r",
        " ",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

#[test]
fn every_case_in_single_bytes_and_in_two() {
    for case in CASES.iter() {
        let whole = case.see([&case.answer[..]]);
        assert_eq!(
            case.see(case.answer.chunks(1)),
            whole,
            "{}",
            case.folder.display()
        );
        // Single bytes have stopped everywhere; what is left is how a stretch of bytes is taken.
        for cut in (0..case.answer.len()).step_by(5) {
            let (first, second) = case.answer.split_at(cut);
            assert_eq!(
                case.see([first, second]),
                whole,
                "{} cut at {cut}",
                case.folder.display()
            );
        }
    }
}

proptest! {
    #[test]
    fn any_chunking_of_any_case(case: prop::sample::Index, cuts: Vec<prop::sample::Index>) {
        let case = case.get(&CASES);
        prop_assert_eq!(case.see(chunked(&case.answer, &cuts)), case.see([&case.answer[..]]));
    }

    #[test]
    fn any_chunking_of_any_stream(
        text in stream(),
        cuts: Vec<prop::sample::Index>,
        api in prop::sample::select(APIS.to_vec()),
        content: bool,
        usage_was_injected: bool,
    ) {
        let options = ObserveOptions { content, usage_was_injected };
        let whole = watch(api, options, [&text[..]], End::Whole);
        prop_assert_eq!(watch(api, options, chunked(&text, &cuts), End::Whole), whole);
        let whole = watch(api, options, [&text[..]], End::Torn);
        prop_assert_eq!(watch(api, options, text.chunks(1), End::Torn), whole);
    }

    #[test]
    fn damaged_cases(
        case: prop::sample::Index,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cuts: Vec<prop::sample::Index>,
    ) {
        let case = case.get(&CASES);
        let mut answer = case.answer.clone();
        for (at, byte) in damage {
            let at = at.index(answer.len());
            answer[at] = byte;
        }
        prop_assert_eq!(case.see(chunked(&answer, &cuts)), case.see([&answer[..]]));
    }

    #[test]
    fn arbitrary_bytes_never_panic(chunks: Vec<Vec<u8>>, api in prop::sample::select(APIS.to_vec())) {
        watch(api, ALL, chunks.iter().map(Vec::as_slice), End::Torn);
        read(api, ALL, chunks.iter().map(Vec::as_slice), End::Torn);
    }
}

#[test]
fn nothing_at_all() {
    for api in APIS {
        let mut stream = StreamObserver::new(api, ALL);
        stream.feed(b"");
        assert_eq!((stream.pass_to(), stream.terminal_at()), (0, None));
        assert!(!stream.finish(End::Whole).is_incomplete);
        assert!(BodyObserver::new(api, ALL).finish(End::Whole).is_incomplete);
    }
}
