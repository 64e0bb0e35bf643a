//! The program as a developer runs it, with a stand-in for the enclave.

use std::path::Path;
use std::process::{Child, Command, Output};

fn run(state: &Path, enclave: &str) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_cloakroom-nsm"))
        .args(["--enclave", enclave, "--listen", "nowhere", "--state"])
        .arg(state)
        .output()
}

/// Ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_what_it_is_and_what_it_measured() {
    let room = tempfile::tempdir().unwrap();
    let output = run(&room.path().join("state"), "/bin/true").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("UNTRUSTED DEVELOPMENT"), "{said}");
    let pcr0 = nitro::extended(&std::fs::read("/bin/true").unwrap());
    assert!(said.contains(&hex::encode(pcr0)), "{said}");
}

#[test]
fn an_enclave_that_fails_or_is_not_there_is_a_failure() {
    let room = tempfile::tempdir().unwrap();
    let failed = run(room.path(), "/bin/false").unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let missing = run(room.path(), "/nowhere").unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere"));
}

/// The module of an image answers on its socket, and its documents have the image's measurements.
#[test]
fn an_image_that_is_booted_elsewhere_is_attested_to() {
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use wire::frame::Message as _;
    use wire::module::{Answer, Request};

    let room = tempfile::tempdir().unwrap();
    let path = |name: &str| room.path().join(name);
    let image = eif::Image {
        kernel: b"kernel".to_vec(),
        command_line: String::new(),
        ramdisks: vec![b"boots".to_vec(), b"application".to_vec()],
        metadata: b"{}".to_vec(),
    };
    std::fs::write(path("image.eif"), image.encode().unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom-nsm"));
    command.arg("--image").arg(path("image.eif")).arg("--listen").arg(path("socket"));
    let _running = Running(command.arg("--state").arg(path("state")).spawn().unwrap());
    let ask = |request: &Request| {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut stream = loop {
            match UnixStream::connect(path("socket")) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "it doesn't listen: {error}"),
            }
            std::thread::yield_now();
        };
        request.write_to(&mut stream).unwrap();
        Answer::read_from(&mut stream).unwrap()
    };
    let attest = Request::Attest { public_key: vec![], user_data: vec![], nonce: vec![7] };
    // Twice: a machine that was booted again finds its module.
    for _ in 0..2 {
        let Some(Answer::Document(document)) = ask(&attest) else { panic!("no document") };
        let root = std::fs::read(path("state/root.der")).unwrap();
        let eif::Measurements { pcr0, pcr1, pcr2 } = image.measurements();
        let expect = nitro::Expectations {
            nonce: Some(vec![7]),
            pcrs: [(0, pcr0), (1, pcr1), (2, pcr2)].into(),
            ..nitro::Expectations::default()
        };
        let now = coarse::Clock::now(&coarse::SystemClock);
        assert!(nitro::verify(&document, &root, now, &expect).is_ok());
    }
}

#[test]
fn what_is_no_image_or_both_at_once_is_not_attested_to() {
    let room = tempfile::tempdir().unwrap();
    std::fs::write(room.path().join("image.eif"), b"no image").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom-nsm"));
        command.current_dir(room.path()).args(["--listen", "socket", "--state", "state"]);
        command.args(arguments).output().unwrap().status.code()
    };
    assert_eq!(run(&["--image", "image.eif"]), Some(1));
    assert_eq!(run(&["--image", "image.eif", "--enclave", "/bin/true"]), Some(2));
    assert_eq!(run(&[]), Some(2));
}

#[test]
fn the_state_is_private_and_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let room = tempfile::tempdir().unwrap();
    let state = room.path().join("state");
    let read = |name: &str| std::fs::read(state.join(name)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let names = ["authority.bin", "wrapping.bin", "root.der"];
    assert!(run(&state, "/bin/true").unwrap().status.success());
    let first = names.map(read);
    assert!(run(&state, "/bin/true").unwrap().status.success());
    assert_eq!(names.map(read), first);
    assert_eq!(mode(&state), 0o700);
    assert_eq!(names[..2].iter().map(|name| mode(&state.join(name))).max(), Some(0o600));

    std::fs::write(state.join("wrapping.bin"), b"short").unwrap();
    let damaged = run(&state, "/bin/true").unwrap();
    assert_eq!(damaged.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("damaged"));
}
