use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::testing::*;
use super::*;

/// Keys as `openssl` writes them in its older forms; test data that protects nothing.
const SEC1_KEY: &str = include_str!("testdata/sec1-key.pem");
const SEC1_CERTIFICATE: &str = include_str!("testdata/sec1.pem");
const PKCS1_KEY: &str = include_str!("testdata/pkcs1-key.pem");
const PKCS1_CERTIFICATE: &str = include_str!("testdata/pkcs1.pem");
const DIRECTORY_KEY: &str = include_str!("testdata/active-directory-key.pem");
/// On P-384, named `DC=com, DC=example, OU=One + OU=Two, CN=Example Issuing CA`.
const DIRECTORY_CERTIFICATE: &str = include_str!("testdata/active-directory.pem");
const ENCRYPTED_KEY: &str = include_str!("testdata/encrypted-key.pem");
const P521_KEY: &str = include_str!("testdata/p521-key.pem");

#[test]
fn one_that_is_made_says_what_it_is() {
    let authority = made(&["api.openai.com"]);
    let (_, certificate) = X509Certificate::from_der(&authority.chain.certificates()[0]).unwrap();
    let name = certificate.subject().to_string();
    let id = name.strip_prefix("CN=AI Gateway Proxy CA ").unwrap();
    assert_eq!(id.len(), 8);
    assert!(authority.is_new() && authority.warnings().is_empty());
    assert_eq!(certificate.raw_serial().len(), 16);

    let basic = certificate.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca && basic.value.path_len_constraint == Some(0));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert!(!certificate.name_constraints().unwrap().unwrap().critical);

    assert_eq!(authority.not_before(), NOW.minus(make::DAY));
    assert_eq!(authority.not_after(), NOW.plus(make::DAY * 3652));
    assert_eq!(authority.fingerprint().len(), 32 * 3 - 1);
    assert_ne!(authority.fingerprint(), made(&["api.openai.com"]).fingerprint());
}

#[test]
fn what_clients_trust_is_the_certificates_of_the_file_and_no_key() {
    let given = Intermediate::new(authority_params("Root"), &authority_params("Below"));
    let both = given.certificate.pem() + &given.root.pem();
    let with_key = format!("a comment\n{}{both}", given.key.serialize_pem());
    let authority = Given::new(&with_key, &given.key.serialize_pem()).load().unwrap();
    assert_eq!(authority.certificate_pem(), both.replace("\r\n", "\n"));
    assert_eq!(authority.sent().count(), 1, "the root is not sent");
    assert!(!authority.is_new());
}

#[test]
fn keys_of_every_kind_sign() {
    let cases = [
        (SEC1_CERTIFICATE, SEC1_KEY),
        (PKCS1_CERTIFICATE, PKCS1_KEY),
        (DIRECTORY_CERTIFICATE, DIRECTORY_KEY),
    ];
    for (certificate, key) in cases {
        let authority = Given::new(certificate, key).load().unwrap();
        let leaf = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        authority.sign(&params, &leaf).unwrap();
    }
}

#[test]
fn keys_that_cannot_be_used_are_told_apart() {
    let load = |key: &str| Given::new(SEC1_CERTIFICATE, key).load().unwrap_err();
    assert!(matches!(load(ENCRYPTED_KEY), CaError::EncryptedKey { .. }));
    assert!(matches!(load(P521_KEY), CaError::UnsupportedKey { .. }));
    assert!(matches!(load(SEC1_CERTIFICATE), CaError::NoKey { .. }));
    assert!(matches!(load(""), CaError::NoKey { .. }));
    assert!(matches!(load(PKCS1_KEY), CaError::KeyMismatch { .. }));
    let broken = SEC1_KEY.replace("-----BEGIN EC", "-----BEGIN EC PRIVATE KEY\nMHcSECRET");
    let shown = format!("{:?}", load(&broken));
    assert!(!shown.contains("MHc"), "{shown}");
}

#[test]
fn files_that_are_no_certificates_are_told_apart() {
    let load = |certificates: &str| Given::new(certificates, SEC1_KEY).load().unwrap_err();
    assert!(matches!(load(""), CaError::NoCertificate { .. }));
    assert!(matches!(load(SEC1_KEY), CaError::NoCertificate { .. }));
    let not_one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(load(not_one), CaError::BadCertificate { .. }));
    let der = CertificateDer::from_pem_slice(SEC1_CERTIFICATE.as_bytes()).unwrap();
    let more = CertificateDer::from([&der[..], b"more"].concat());
    assert!(matches!(load(&pem(&more)), CaError::BadCertificate { .. }));
    assert!(matches!(load(&"x".repeat(2 << 20)), CaError::TooLong { .. }));
    let missing = CertificateAuthority::load(Path::new("no/such.pem"), Path::new("no/key.pem"), NOW);
    assert!(missing.unwrap_err().to_string().contains("no/such.pem"));
}

#[test]
fn what_may_not_sign_is_refused_with_the_reason() {
    let refused = |change: fn(&mut CertificateParams)| {
        let mut params = authority_params("Somebody's");
        change(&mut params);
        match Given::self_signed(&params).load().unwrap_err() {
            CaError::NotAuthority { fault, subject, .. } => {
                assert_eq!(subject, "CN=Somebody's");
                fault
            }
            other => panic!("{other}"),
        }
    };
    assert_eq!(
        refused(|params| params.is_ca = IsCa::NoCa),
        NotAuthority::BasicConstraints
    );
    assert_eq!(
        refused(|params| params.is_ca = IsCa::ExplicitNoCa),
        NotAuthority::BasicConstraints
    );
    assert_eq!(
        refused(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        NotAuthority::KeyUsage
    );
    assert_eq!(
        refused(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
        NotAuthority::ExtendedKeyUsage
    );
    assert_eq!(
        refused(|params| {
            let name = rcgen::GeneralSubtree::DirectoryName(params.distinguished_name.clone());
            params.name_constraints = Some(rcgen::NameConstraints {
                permitted_subtrees: vec![name],
                excluded_subtrees: vec![],
            });
        }),
        NotAuthority::DirectoryNames
    );
}

#[test]
fn without_key_usage_and_with_path_length_zero_it_may_sign() {
    let mut params = authority_params("Plain");
    params.key_usages.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    Given::self_signed(&params).load().unwrap();
}

#[test]
fn a_chain_is_checked_as_a_whole() {
    let chain = |given: &Intermediate| given.certificate.pem() + &given.root.pem();
    let load = |given: &Intermediate, text: &str| Given::new(text, &given.key.serialize_pem()).load();

    let mut short = authority_params("Root");
    short.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let given = Intermediate::new(short, &authority_params("Below"));
    let error = load(&given, &chain(&given)).unwrap_err();
    assert!(
        matches!(
            &error,
            CaError::NotAuthority {
                fault: NotAuthority::PathLength,
                ..
            }
        ),
        "{error}"
    );

    let given = Intermediate::new(authority_params("Root"), &authority_params("Below"));
    let reversed = given.root.pem() + &given.certificate.pem();
    assert!(matches!(
        load(&given, &reversed).unwrap_err(),
        CaError::Chain { .. }
    ));
    let alone = load(&given, &given.certificate.pem()).unwrap();
    assert_eq!(alone.sent().count(), 1);

    let mut brief = authority_params("Root");
    brief.not_after = make::date(NOW.plus(make::DAY)).unwrap();
    let given = Intermediate::new(brief, &authority_params("Below"));
    let authority = load(&given, &chain(&given)).unwrap();
    assert_eq!(authority.not_after(), NOW.plus(make::DAY), "that of the issuer");
}

#[test]
fn it_has_to_be_valid_now() {
    let given = Given::self_signed(&authority_params("Dated"));
    let late = given.load_at(NOW.plus(make::DAY * 365)).unwrap_err();
    assert!(matches!(late, CaError::Expired { .. }));
    assert!(late.to_string().contains("2028-01-15"), "{late}");
    let early = given.load_at(NOW.minus(make::DAY * 2)).unwrap_err();
    assert!(matches!(early, CaError::NotYetValid { .. }));
    given.load_at(NOW.minus(make::DAY)).unwrap();
}

#[test]
fn an_issuer_is_named_as_its_certificate_names_it() {
    let authority = Given::new(DIRECTORY_CERTIFICATE, DIRECTORY_KEY).load().unwrap();
    let leaf = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let certificate = authority.sign(&params, &leaf).unwrap();
    let (_, leaf) = X509Certificate::from_der(&certificate).unwrap();
    let (_, own) = X509Certificate::from_der(&authority.chain.certificates()[0]).unwrap();
    assert_eq!(leaf.issuer().as_raw(), own.subject().as_raw());
    let parts: Vec<_> = own.subject().iter().map(|part| part.iter().count()).collect();
    assert_eq!(
        parts,
        [1, 1, 2, 1],
        "DC, DC, OU + OU, CN, or the test shows nothing"
    );
}

#[test]
fn providers_outside_are_named() {
    let authority = made(&["api.openai.com", "api.anthropic.com"]);
    let providers = hosts(&["chat.openai.com", "api.example.org", "10.0.0.7"]);
    let error = authority.cover(&providers).unwrap_err();
    assert_eq!(error.hosts, hosts(&["api.example.org", "10.0.0.7"]));
    let text = error.to_string();
    assert!(
        text.contains("api.example.org, 10.0.0.7; run `coder aibridge proxy ca renew`"),
        "{text}"
    );
    authority.cover(&providers[..1]).unwrap();

    let free = Given::self_signed(&authority_params("Free")).load().unwrap();
    free.cover(&providers).unwrap();
}

#[test]
fn constraints_anywhere_in_the_chain_count() {
    let mut root = authority_params("Root");
    root.name_constraints = Some(rcgen::NameConstraints {
        permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example.com".to_owned())],
        excluded_subtrees: vec![],
    });
    let given = Intermediate::new(root, &authority_params("Below"));
    let both = given.certificate.pem() + &given.root.pem();
    let authority = Given::new(&both, &given.key.serialize_pem()).load().unwrap();
    assert!(authority.permits(&host("api.example.com")));
    assert!(authority.permits(&host("API.Example.com.")));
    assert!(!authority.permits(&host("example.org")));
    assert!(authority.permits(&host("10.0.0.1")), "no address is constrained");
    assert!(!authority.permits(&Host::Domain("*.example.com".to_owned())));
}

#[test]
fn nothing_secret_is_shown() {
    let given = Given::new(SEC1_CERTIFICATE, SEC1_KEY);
    let shown = format!("{:?}", given.load().unwrap());
    assert!(shown.contains("CertificateAuthority") && shown.len() < 20_000);
    let der = rustls_pki_types::PrivateKeyDer::from_pem_slice(SEC1_KEY.as_bytes()).unwrap();
    // In SEC 1 the private number follows the version.
    let number = format!("{:?}", &der.secret_der()[7..39]);
    assert!(!shown.contains(number.trim_matches(['[', ']'])));
}
