use tempfile::TempDir;

use super::*;
use crate::ca::CertificateAuthority;
use crate::ca::make;
use crate::ca::testing::*;

fn open(dir: &Path) -> Result<CertificateAuthority, CaError> {
    CertificateAuthority::load_or_create(dir, &hosts(&["api.openai.com"]), NOW)
}

/// What is in a directory, but for the lock.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != LOCK_FILE).collect();
    names.sort();
    names
}

#[test]
fn one_is_made_on_the_first_start_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a/b");
    let first = open(&dir).unwrap();
    assert_eq!(names(&dir), [KEY_FILE, CERTIFICATE_FILE]);
    let second = open(&dir).unwrap();
    assert_eq!(first.fingerprint(), second.fingerprint());
    assert!(first.is_new() && !second.is_new());
    assert_eq!(
        second.certificate_pem(),
        fs::read_to_string(dir.join(CERTIFICATE_FILE)).unwrap()
    );
}

#[cfg(unix)]
#[test]
fn the_key_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    open(&inner).unwrap();
    CertificateAuthority::renew(&inner, &hosts(&["api.openai.com"]), NOW).unwrap();
    assert_eq!(mode(&inner), 0o700);
    let key = inner.join(KEY_FILE);
    assert_eq!(mode(&key), 0o600);
    assert_eq!(mode(&with_suffix(&key, ".old")), 0o600);
    assert_eq!(mode(&inner.join(CERTIFICATE_FILE)), 0o644);

    set_mode(&key, 0o640);
    let loaded = open(&inner).unwrap();
    let expected = Warning::KeyReadable {
        path: key,
        mode: 0o640,
    };
    assert_eq!(loaded.warnings(), [expected]);
    assert!(loaded.warnings()[0].to_string().contains("(mode 0640)"));
}

#[test]
fn one_file_without_the_other_is_an_error() {
    for (lost, left) in [(KEY_FILE, CERTIFICATE_FILE), (CERTIFICATE_FILE, KEY_FILE)] {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).unwrap();
        fs::remove_file(dir.path().join(lost)).unwrap();
        let error = open(dir.path()).unwrap_err();
        let CaError::OnlyOne { present, missing } = &error else {
            panic!("{error}");
        };
        assert_eq!(
            (present, missing),
            (&dir.path().join(left), &dir.path().join(lost))
        );
        assert_eq!(names(dir.path()), [left], "nothing is changed");
        CertificateAuthority::renew(dir.path(), &[], NOW).unwrap();
        open(dir.path()).unwrap();
    }
}

#[test]
fn a_host_that_cannot_be_named_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let wild = [url::Host::Domain("*.example.com".to_owned())];
    let error = CertificateAuthority::load_or_create(dir.path(), &wild, NOW).unwrap_err();
    assert!(matches!(error, CaError::BadHost { .. }));
    assert!(names(dir.path()).is_empty());
}

#[test]
fn renewing_keeps_the_old_pair_beside() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::new(dir.path());
    let mut before = open(dir.path()).unwrap().fingerprint();
    for _ in 0..2 {
        let old_key = fs::read(&pair.key).unwrap();
        let renewed = CertificateAuthority::renew(dir.path(), &hosts(&["api.example.org"]), NOW).unwrap();
        assert!(
            renewed.is_new()
                && renewed.permits(&host("example.org"))
                && !renewed.permits(&host("openai.com"))
        );
        assert_ne!(renewed.fingerprint(), before);
        assert_eq!(open(dir.path()).unwrap().fingerprint(), renewed.fingerprint());
        assert_eq!(fs::read(with_suffix(&pair.key, ".old")).unwrap(), old_key);
        let old = [&pair.certificate, &pair.key].map(|path| with_suffix(path, ".old"));
        let old = CertificateAuthority::load(&old[0], &old[1], NOW).unwrap();
        assert_eq!(old.fingerprint(), before);
        before = renewed.fingerprint();
    }
    assert_eq!(names(dir.path()).len(), 4);
}

/// As root does it for a server that runs as another user.
#[test]
fn files_belong_to_whom_the_directory_does() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    const SERVER: u32 = 4711;
    let dir = tempfile::tempdir().unwrap();
    // Only root can make it another's; for everybody else it is their own already.
    let is_root = chown(dir.path(), Some(SERVER), Some(SERVER)).is_ok();
    open(dir.path()).unwrap();
    CertificateAuthority::renew(dir.path(), &hosts(&["api.example.org"]), NOW).unwrap();
    let owner = fs::metadata(dir.path()).unwrap().uid();
    assert_eq!(owner == SERVER, is_root);
    let mut files = 0;
    for file in fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().uid(), owner, "{:?}", file.file_name());
        files += 1;
    }
    assert_eq!(files, 5, "the pair, the old one and the lock");
}

/// A directory with an authority (or none), in which another is being put in place.
fn begun(existing: bool) -> (TempDir, Pair, Option<String>, make::New) {
    let dir = tempfile::tempdir().unwrap();
    let before = existing.then(|| open(dir.path()).unwrap().fingerprint());
    let pair = Pair::new(dir.path());
    let new = make::authority(&hosts(&["api.openai.com"]), NOW).unwrap();
    (dir, pair, before, new)
}

fn after_the_cut(dir: &TempDir) -> String {
    let authority = open(dir.path()).unwrap();
    assert_eq!(names(dir.path()), [KEY_FILE, CERTIFICATE_FILE], "nothing is left");
    authority.fingerprint()
}

/// The process is killed after each of the steps of [`Pair::install`], and in the middle of those that write.
#[test]
fn a_cut_before_the_key_is_in_place_changes_nothing() {
    for existing in [false, true] {
        for (key, certificate) in [
            (10, None),
            (usize::MAX, None),
            (usize::MAX, Some(10)),
            (usize::MAX, Some(usize::MAX)),
        ] {
            let (dir, pair, before, new) = begun(existing);
            let part = |text: &str, length: usize| text.as_bytes()[..length.min(text.len())].to_vec();
            write(&with_suffix(&pair.key, ".new"), &part(&new.key_pem, key), PRIVATE).unwrap();
            if let Some(length) = certificate {
                let part = part(&new.certificate_pem, length);
                write(&with_suffix(&pair.certificate, ".new"), &part, PUBLIC).unwrap();
            }
            let after = after_the_cut(&dir);
            assert!(before.is_none_or(|before| before == after));
        }
    }
}

#[test]
fn a_cut_between_key_and_certificate_is_finished() {
    for existing in [false, true] {
        let (dir, pair, before, new) = begun(existing);
        pair.stage(&new.certificate_pem, &new.key_pem).unwrap();
        rename(&with_suffix(&pair.key, ".new"), &pair.key).unwrap();
        let after = after_the_cut(&dir);
        assert_ne!(before.as_ref(), Some(&after));
        assert_eq!(
            fs::read_to_string(&pair.certificate).unwrap(),
            new.certificate_pem
        );
    }
}

/// The process is killed while it clears away what an earlier one left.
#[test]
fn a_cut_while_clearing_away_changes_nothing() {
    let (dir, pair, before, new) = begun(true);
    pair.stage(&new.certificate_pem, &new.key_pem).unwrap();
    remove(&with_suffix(&pair.certificate, ".new")).unwrap();
    assert_eq!(Some(after_the_cut(&dir)), before);
}

#[test]
fn those_that_start_at_once_get_the_same_one() {
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let barrier = std::sync::Barrier::new(8);
        let start = || {
            barrier.wait();
            open(dir.path()).unwrap()
        };
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| one.fingerprint() == all[0].fingerprint()));
        assert_eq!(all.iter().filter(|one| one.is_new()).count(), 1);
    }
}

#[test]
fn one_that_starts_while_another_renews_gets_a_whole_pair() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        let renewing = scope.spawn(|| {
            for _ in 0..20 {
                CertificateAuthority::renew(dir.path(), &hosts(&["api.openai.com"]), NOW).unwrap();
            }
        });
        while !renewing.is_finished() {
            open(dir.path()).unwrap();
        }
        renewing.join().unwrap();
    });
}

/// Shows most when it is not run as root, for whom no directory is read-only.
#[cfg(unix)]
#[test]
fn a_pair_in_a_directory_that_cannot_be_written_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let before = open(dir.path()).unwrap().fingerprint();
    fs::remove_file(dir.path().join(LOCK_FILE)).unwrap();
    set_mode(dir.path(), 0o500);
    let after = open(dir.path()).map(|authority| authority.fingerprint());
    set_mode(dir.path(), 0o700);
    assert_eq!(after.unwrap(), before);
}
