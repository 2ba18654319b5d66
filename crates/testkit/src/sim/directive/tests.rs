//! The forms that directives take.

use super::*;
use proptest::prelude::*;

fn text(words: &str) -> Result<Directives, DirectiveError> {
    Directives::collect("", words, None)
}

#[test]
fn table() {
    let plain = Directives::default();
    let cases: [(&str, Directives); 9] = [
        ("no directive [here]", plain.clone()),
        (
            "hello [[sim: error=429 retry_after=2]]",
            Directives {
                error: Some(429),
                retry_after: Some(2),
                ..plain.clone()
            },
        ),
        (
            "[[sim:tool=get_weather]]",
            Directives {
                tool: Some("get_weather".into()),
                tools: 1,
                ..plain.clone()
            },
        ),
        (
            "[[sim: tools=2]] and [[sim: reasoning,cached=900]]",
            Directives {
                tools: 2,
                reasoning: true,
                cached: 900,
                ..plain.clone()
            },
        ),
        (
            "[[sim: break_after=3 break=rst]]",
            Directives {
                break_after: Some(3),
                break_kind: Break::Rst,
                ..plain.clone()
            },
        ),
        (
            "[[sim: split=random seed=7]]",
            Directives {
                split: true,
                seed: 7,
                ..plain.clone()
            },
        ),
        (
            "[[sim: encoded=zstd status=204]]",
            Directives {
                encoded: Some(Coding::Zstd),
                status: Some(204),
                ..plain.clone()
            },
        ),
        (
            "[[sim: gate=a gate_after=2]]",
            Directives {
                gate: Some("a".into()),
                gate_after: Some(2),
                ..plain.clone()
            },
        ),
        ("[[sim:]]", plain.clone()),
    ];
    for (words, want) in cases {
        assert_eq!(text(words), Ok(want), "{words}");
    }
}

#[test]
fn every_flag_is_known_and_takes_no_value() {
    for flag in FLAGS {
        let set = text(&format!("[[sim: {flag}]]")).unwrap();
        assert_ne!(set, Directives::default(), "{flag}");
        assert!(text(&format!("[[sim: {flag}=1]]")).is_err(), "{flag}");
    }
}

#[test]
fn bad_directives_are_refused() {
    for words in [
        "error",
        "error=399",
        "error=x",
        "tools=-1",
        "break=maybe",
        "encoded=lzma",
        "gate=",
        "size=999999999999",
    ] {
        let outcome = text(&format!("[[sim: {words}]]"));
        assert!(
            matches!(outcome, Err(DirectiveError::Value { .. })),
            "{words}: {outcome:?}"
        );
    }
    assert_eq!(
        text("[[sim: eror=429]]"),
        Err(DirectiveError::Unknown("eror".into()))
    );
    assert_eq!(text("[[sim: error=429"), Err(DirectiveError::Unclosed));
}

#[test]
fn model_names() {
    let from = |model| Directives::collect(model, "", None);
    let want = Directives {
        error: Some(429),
        retry_after: Some(2),
        reasoning: true,
        ..Directives::default()
    };
    assert_eq!(from("sim-error-429-reasoning-retry_after-2"), Ok(want));
    assert_eq!(from("sim-large"), Ok(Directives::default()));
    assert_eq!(from("claude-error-429"), Ok(Directives::default()));
    assert!(from("sim-error").is_err());
    assert_eq!(
        from("sim-reasoning-fast"),
        Err(DirectiveError::Unknown("fast".into()))
    );
}

#[test]
fn header_wins_over_prompt_wins_over_model() {
    let all = Directives::collect("sim-error-400", "[[sim: error=401 seed=1]]", Some("error=403")).unwrap();
    assert_eq!((all.error, all.seed), (Some(403), 1));
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(prompt in ".{0,80}", inner in "[a-z_=0-9 \\]\\[:,é]{0,40}") {
        let _ = text(&format!("{prompt}[[sim:{inner}]]{prompt}"));
    }

    #[test]
    fn numbers_round_trip(seed: u64, cached: u32, after in 0usize..1000) {
        let got = text(&format!("é[[sim: seed={seed} cached={cached}, stall_after={after}]]")).unwrap();
        prop_assert_eq!((got.seed, got.cached, got.stall_after), (seed, u64::from(cached), Some(after)));
    }
}
