use gateway_core::ManualClock;
use proptest::prelude::*;
use rustls::client::Resumption;
use rustls::{AlertDescription, CertificateError, Error, HandshakeKind};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::testing::*;
use super::*;
use crate::ca::testing::*;

// === What a certificate says ===

#[test]
fn a_certificate_names_one_host_for_a_month() {
    let setup = Setup::new(&["api.openai.com"]);
    let der = setup.certificate("api.openai.com");
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        names.value.general_names,
        [GeneralName::DNSName("api.openai.com")]
    );
    assert!(!leaf.is_ca());
    assert!(
        leaf.basic_constraints()
            .unwrap()
            .is_some_and(|basic| basic.critical)
    );
    let usage = leaf.key_usage().unwrap().unwrap();
    assert_eq!(usage.value.flags, 1, "digitalSignature alone");
    let purpose = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(purpose.server_auth && !purpose.client_auth && !purpose.any);
    assert!(leaf.raw_serial().len() <= 20 && leaf.raw_serial()[0] & 0x80 == 0);
    let seconds = NOW.as_micros() / 1_000_000;
    assert_eq!(leaf.validity().not_before.timestamp(), seconds - 24 * 3600);
    assert_eq!(leaf.validity().not_after.timestamp(), seconds + 30 * 24 * 3600);

    let ids = |certificate: &X509Certificate<'_>| {
        let mut ids = (None, None);
        for extension in certificate.iter_extensions() {
            match extension.parsed_extension() {
                x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => {
                    ids.0 = Some(id.0.to_vec());
                }
                x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
                    ids.1 = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                _ => {}
            }
        }
        ids
    };
    let (_, root) = X509Certificate::from_der(&setup.trusted).unwrap();
    let (own, issuer) = ids(&leaf);
    assert!(own.is_some() && issuer.is_some());
    assert_eq!(issuer, ids(&root).0);
    assert_ne!(own, issuer);
}

#[test]
fn no_certificate_outlives_or_precedes_its_authority() {
    let mut params = authority_params("Brief");
    params.not_before = date(NOW.minus(Duration::from_hours(1))).unwrap();
    params.not_after = date(NOW.plus(Duration::from_hours(10))).unwrap();
    let authority = Given::self_signed(&params).load().unwrap();
    let trusted = first(&authority.certificate_pem());
    let setup = Setup::with(authority, trusted);
    let der = setup.certificate("a.example");
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    let seconds = NOW.as_micros() / 1_000_000;
    assert_eq!(leaf.validity().not_before.timestamp(), seconds - 3600);
    assert_eq!(leaf.validity().not_after.timestamp(), seconds + 36_000);
    for _ in 0..5 {
        setup.certificate("a.example");
    }
    assert_eq!(setup.leaves.minted(), 1, "not one for every connection");

    setup.clock.advance(Duration::from_hours(10));
    let error = setup.leaves.for_host(&host("a.example")).unwrap_err();
    assert!(matches!(error, LeafError::AuthorityExpired));
    setup.clock.set(NOW.minus(DAY));
    let error = setup.leaves.for_host(&host("a.example")).unwrap_err();
    assert!(matches!(error, LeafError::AuthorityExpired));
}

// === What clients accept ===

#[test]
fn names_and_addresses_of_every_kind_are_accepted() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(longest.len(), 253);
    let cases = [
        ("api.openai.com", "api.openai.com"),
        ("API.OpenAI.com", "api.openai.com"),
        ("api.openai.com.", "api.openai.com"),
        ("localhost", "localhost"),
        ("under_score.internal", "under_score.internal"),
        ("bücher.example", "xn--bcher-kva.example"),
        (&longest, &longest),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[::ffff:192.0.2.7]", "::ffff:192.0.2.7"),
    ];
    for (served, asked) in cases {
        let setup = Setup::new(&[served]);
        let met = setup
            .handshake(served, asked)
            .unwrap_or_else(|error| panic!("{served}: {error}"));
        assert_eq!(met.certificates.len(), 1, "a root is not sent");
    }
}

#[test]
fn what_is_no_name_of_one_host_gets_no_certificate() {
    let setup = Setup::new(&["example.com"]);
    let label = "a".repeat(64);
    let long = format!("{}example.com", "a.".repeat(122));
    for text in [
        "*.example.com",
        "*",
        "",
        ".",
        "example.com..",
        "a..example.com",
        &label,
        &long,
        "-.example.com",
        "a b",
        "é.example",
    ] {
        let host = Host::Domain(text.to_owned());
        assert!(
            matches!(setup.leaves.for_host(&host), Err(LeafError::BadHost { .. })),
            "{text:?}"
        );
    }
    assert_eq!(setup.leaves.minted(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a host is called: no certificate, or one that clients accept for it.
    #[test]
    fn every_certificate_is_accepted(text in "[a-zA-Z0-9_.*-]{1,12}(\\.[a-z0-9_-]{1,40}){0,6}\\.?") {
        let authority = Given::self_signed(&authority_params("Free")).load().unwrap();
        let trusted = first(&authority.certificate_pem());
        let setup = Setup::with(authority, trusted);
        if let Ok(host) = Host::parse(&text)
            && let Ok(config) = setup.leaves.for_host(&host)
        {
            let name = host.to_string();
            let name = name.strip_suffix('.').unwrap_or(&name).trim_matches(['[', ']']);
            meet(setup.client(), config, name).unwrap();
        }
    }
}

#[test]
fn a_wrong_name_is_refused_by_both_sides() {
    let setup = Setup::new(&["api.openai.com", "192.0.2.7"]);
    let alert = Error::AlertReceived(AlertDescription::AccessDenied);
    assert_eq!(
        setup.handshake("api.openai.com", "chat.openai.com").unwrap_err(),
        alert
    );
    assert_eq!(
        setup.handshake("api.openai.com", "openai.com").unwrap_err(),
        alert
    );
    assert_eq!(setup.handshake("192.0.2.7", "api.openai.com").unwrap_err(), alert);

    // Addresses send no name; then it is for the client to see.
    for (served, asked) in [("api.openai.com", "192.0.2.7"), ("192.0.2.7", "192.0.2.8")] {
        let error = setup.handshake(served, asked).unwrap_err();
        let Error::InvalidCertificate(error) = error else {
            panic!("{error}");
        };
        assert!(
            matches!(error, CertificateError::NotValidForNameContext { .. }),
            "{error}"
        );
    }
}

#[test]
fn a_client_without_a_name_is_served() {
    let setup = Setup::new(&["api.openai.com"]);
    let mut client = setup.client();
    client.enable_sni = false;
    let server = setup.leaves.for_host(&host("api.openai.com")).unwrap();
    meet(client, server, "api.openai.com").unwrap();
}

#[test]
fn protocols_are_agreed_on_or_left_out() {
    let setup = Setup::new(&["api.openai.com"]);
    let offering = |protocols: &[&[u8]]| {
        let mut client = setup.client();
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let server = setup.leaves.for_host(&host("api.openai.com")).unwrap();
        meet(client, server, "api.openai.com").map(|met| met.alpn)
    };
    assert_eq!(offering(&[]), Ok(None));
    assert_eq!(offering(&[b"http/1.1", b"h2"]), Ok(Some(b"h2".to_vec())));
    assert_eq!(offering(&[b"http/1.1"]), Ok(Some(b"http/1.1".to_vec())));
    let alert = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(offering(&[b"spdy/3"]), Err(alert));
}

/// Without names in the handshake nothing but the keys of the tickets tells the hosts apart.
#[test]
fn no_session_is_resumed_at_another_host() {
    let setup = Setup::new(&["a.example.com"]);
    let [one, other] =
        ["a.example.com", "b.example.com"].map(|name| setup.leaves.for_host(&host(name)).unwrap());
    assert_eq!(one.max_early_data_size, 0);
    for version in [&version::TLS12, &version::TLS13] {
        let mut client = setup.client_of(&[version]);
        client.enable_sni = false;
        client.resumption = Resumption::store(Arc::new(OneStore::default()));
        let first = meet(client.clone(), Arc::clone(&one), "a.example.com").unwrap();
        assert_eq!(first.kind, HandshakeKind::Full);
        let here = meet(client.clone(), Arc::clone(&one), "a.example.com").unwrap();
        assert_eq!(here.kind, HandshakeKind::Resumed, "or the test shows nothing");
        let elsewhere = meet(client, Arc::clone(&other), "b.example.com").unwrap();
        assert_eq!(elsewhere.kind, HandshakeKind::Full);
    }
}

#[test]
fn who_resumes_a_session_cannot_ask_for_another_name() {
    let setup = Setup::new(&["a.example.com"]);
    let server = setup.leaves.for_host(&host("a.example.com")).unwrap();
    for version in [&version::TLS12, &version::TLS13] {
        let mut client = setup.client_of(&[version]);
        client.resumption = Resumption::store(Arc::new(OneStore::default()));
        meet(client.clone(), Arc::clone(&server), "a.example.com").unwrap();
        let error = meet(client, Arc::clone(&server), "b.example.com").unwrap_err();
        assert_eq!(error, Error::AlertReceived(AlertDescription::AccessDenied));
    }
}

// === Chains and constraints ===

#[test]
fn a_client_that_trusts_the_root_alone_accepts_an_intermediate() {
    let given = Intermediate::new(authority_params("Root"), &authority_params("Below"));
    let both = given.certificate.pem() + &given.root.pem();
    for chain in [given.certificate.pem(), both] {
        let authority = Given::new(&chain, &given.key.serialize_pem()).load().unwrap();
        let setup = Setup::with(authority, given.root.der().clone());
        let met = setup.handshake("api.openai.com", "api.openai.com").unwrap();
        assert_eq!(met.certificates.len(), 2);
        assert_eq!(met.certificates[1], given.certificate.der().as_ref());
    }
}

#[test]
fn authorities_of_every_kind_are_accepted() {
    for (certificate, key) in [
        (
            include_str!("../ca/testdata/sec1.pem"),
            include_str!("../ca/testdata/sec1-key.pem"),
        ),
        (
            include_str!("../ca/testdata/pkcs1.pem"),
            include_str!("../ca/testdata/pkcs1-key.pem"),
        ),
        (
            include_str!("../ca/testdata/active-directory.pem"),
            include_str!("../ca/testdata/active-directory-key.pem"),
        ),
    ] {
        let authority = Given::new(certificate, key).load().unwrap();
        let setup = Setup::with(authority, first(certificate));
        setup.handshake("api.openai.com", "api.openai.com").unwrap();
    }
}

/// What the authority permits is what clients accept, for a certificate that it should not have signed too.
#[test]
fn clients_enforce_the_constraints() {
    let cases: [(&[&str], &[&str], &[&str]); 5] = [
        (
            &["api.openai.com"],
            &["openai.com", "chat.openai.com", "a.b.openai.com"],
            &[
                "example.com",
                "notopenai.com",
                "com",
                "localhost",
                "192.0.2.7",
                "[2001:db8::7]",
            ],
        ),
        (
            &["foo.bar.co.uk"],
            &["bar.co.uk", "x.bar.co.uk"],
            &["other.co.uk", "co.uk"],
        ),
        (
            &["localhost", "me.github.io"],
            &["localhost", "me.github.io"],
            &["you.github.io", "github.io"],
        ),
        (
            &["192.0.2.7"],
            &["192.0.2.7"],
            &["192.0.2.8", "[2001:db8::7]", "example.com", "localhost"],
        ),
        (
            &["[2001:db8::7]", "api.openai.com"],
            &["[2001:db8::7]", "openai.com"],
            &["[2001:db8::8]", "192.0.2.7", "example.com"],
        ),
    ];
    for (providers, inside, outside) in cases {
        let setup = Setup::new(providers);
        let authority = &setup.leaves.authority;
        for (text, expected) in inside
            .iter()
            .map(|text| (text, true))
            .chain(outside.iter().map(|text| (text, false)))
        {
            let host = host(text);
            assert_eq!(authority.permits(&host), expected, "{providers:?} {text}");
            assert_eq!(
                setup.leaves.for_host(&host).is_ok(),
                expected,
                "{providers:?} {text}"
            );
            let params = params(&host, NOW.minus(DAY), NOW.plus(DAY)).unwrap();
            let certificate = authority.sign(&params, &setup.leaves.key).unwrap();
            let certified = CertifiedKey::new(vec![certificate], Arc::clone(&setup.leaves.signing_key));
            let server = setup.leaves.config(&host, certified).unwrap();
            let met = meet(setup.client(), server, text.trim_matches(['[', ']']));
            assert_eq!(met.is_ok(), expected, "{providers:?} {text}: {:?}", met.err());
        }
    }
}

// === What is kept ===

#[test]
fn a_burst_for_one_host_signs_once() {
    const THREADS: usize = 16;
    let setup = Setup::new(&["openai.com"]);
    let barrier = std::sync::Barrier::new(THREADS);
    // Many rounds, as the threads of one may happen to follow one another.
    for round in 1..=50 {
        let host = host(&format!("h{round}.openai.com"));
        let get = || {
            barrier.wait();
            setup.leaves.for_host(&host).unwrap()
        };
        let configs: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(get)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(setup.leaves.minted(), round);
        assert!(configs.iter().all(|config| Arc::ptr_eq(config, &configs[0])));
    }
}

#[test]
fn spellings_of_one_host_share_a_certificate() {
    let setup = Setup::new(&["openai.com"]);
    for text in ["api.openai.com", "API.OpenAI.com", "api.openai.com."] {
        setup.leaves.for_host(&Host::Domain(text.to_owned())).unwrap();
    }
    assert_eq!(setup.leaves.minted(), 1);
    setup.leaves.for_host(&host("chat.openai.com")).unwrap();
    assert_eq!(setup.leaves.minted(), 2);
}

#[test]
fn certificates_are_renewed_before_they_expire() {
    let setup = Setup::new(&["api.openai.com"]);
    let old = setup.certificate("api.openai.com");
    let due = NOW.plus(LIFETIME).minus(RENEW_AHEAD);
    setup.clock.set(due.minus(Duration::from_secs(1)));
    assert_eq!(setup.certificate("api.openai.com"), old);
    setup.clock.set(due);
    let new = setup.certificate("api.openai.com");
    assert_ne!(new, old);
    assert_eq!(setup.leaves.minted(), 2);

    // The clock was wrong by years and is put right.
    setup.clock.set(NOW.minus(Duration::from_hours(1)));
    setup.certificate("api.openai.com");
    assert_eq!(setup.leaves.minted(), 3);
}

#[test]
fn a_bounded_number_is_kept() {
    let authority = Given::self_signed(&authority_params("Free")).load().unwrap();
    let leaves = Leaves::with_bound(Arc::new(authority), Arc::new(ManualClock::new(NOW)), 8).unwrap();
    for number in 0..64 {
        leaves.for_host(&host(&format!("h{number}.example"))).unwrap();
    }
    leaves.kept.run_pending_tasks();
    assert!(leaves.kept.entry_count() <= 8, "{}", leaves.kept.entry_count());
    assert_eq!(leaves.minted(), 64);
}
