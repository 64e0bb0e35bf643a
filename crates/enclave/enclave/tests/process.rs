//! The enclave's own program, measured and started by the development module: what a client can tell by its
//! document, and what a changed program can't get.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use attested::{AttestationError, EnclavePin, Pcr, Served};
use jws::VerifyingKey;
use nsm::{DevelopmentModule, Measured, State};
use wire::frame::Message;
use wire::parent::{Answer, Failure, Request};

#[cfg(test)]
mod fixture {
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;

    pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_cloakroom-enclave");
    pub(super) const TAPPED: &str = env!("CARGO_BIN_EXE_cloakroom-enclave-tapped");

    /// A boot configuration; nobody's signature is asked for here.
    pub(super) const CONFIGURATION: &str = concat!(
        r#"{"srt_keys":{"keys":[]},"issuance_keys":{"keys":[]},"order_keys":{"keys":[]},"#,
        r#""issuer_name":"issuer.example","origin":"dip.example","tree":{"purpose":"dedicated-ip","#,
        r#""first_epoch":2968,"root":"0000000000000000000000000000000000000000000000000000000000000000"}}"#
    );

    /// A running enclave; it ends with its test.
    pub(super) struct Running {
        pub(super) child: Child,
        pub(super) pcr0: [u8; 48],
        pub(super) root: Vec<u8>,
        pub(super) stream: UnixStream,
    }

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// What a program leaves that ends by itself.
    pub(super) fn ended(command: &mut Command) -> Output {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
            }
            std::thread::yield_now();
        }
        child.wait_with_output().unwrap()
    }

    pub(super) fn arguments(socket: &Path) -> [&OsStr; 4] {
        ["--module".as_ref(), "stdin".as_ref(), "--listen".as_ref(), socket.as_os_str()]
    }

    /// Starts a program with the module whose state is in `room`.
    pub(super) fn start(room: &Path, program: &Path) -> Running {
        let socket = room.join("enclave");
        let _ = std::fs::remove_file(&socket);
        let measured = Measured::load(program).unwrap();
        let started = measured.start(&arguments(&socket)).unwrap();
        let state = State::open(&room.join("module")).unwrap();
        let root = state.authority().root_der().to_vec();
        let pcr0 = *measured.pcr0();
        let mut to_enclave = started.stream;
        std::thread::spawn(move || DevelopmentModule::new(state, pcr0).serve(&mut to_enclave));
        let deadline = Instant::now() + Duration::from_secs(30);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "it doesn't listen: {error}"),
            }
            std::thread::yield_now();
        };
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Running { child: started.child, pcr0, root, stream }
    }

    impl Running {
        pub(super) fn ask(&mut self, request: &Request) -> Answer {
            request.write_to(&mut self.stream).unwrap();
            Answer::read_from(&mut self.stream).unwrap().unwrap()
        }

        pub(super) fn boot(&mut self, wrapped_key: Vec<u8>) -> Result<Vec<u8>, Failure> {
            let configuration = CONFIGURATION.as_bytes().to_vec();
            match self.ask(&Request::Boot { configuration, wrapped_key, former_keys: vec![] }) {
                Answer::Booted { wrapped_key, .. } => Ok(wrapped_key),
                Answer::Failed(failure) => Err(failure),
                other => panic!("{other:?}"),
            }
        }

        pub(super) fn attest(&mut self, nonce: &[u8]) -> Served {
            match self.ask(&Request::Attest { nonce: nonce.to_vec() }) {
                Answer::Attested { document, configuration, minting_key, .. } => {
                    let key = VerifyingKey::from_bytes(minting_key.try_into().unwrap());
                    Served::new(document, configuration, key)
                }
                other => panic!("{other:?}"),
            }
        }

        pub(super) fn pin(&self) -> EnclavePin {
            EnclavePin {
                root: self.root.clone(),
                pcrs: [(0, Pcr(self.pcr0))].into(),
                boot_configuration: CONFIGURATION.into(),
            }
        }
    }

    pub(super) fn now() -> coarse::UnixTime {
        coarse::Clock::now(&coarse::SystemClock)
    }
}

use fixture::{PROGRAM, Running, TAPPED, ended, now, start};

#[test]
fn a_document_of_the_measured_program_is_believed() {
    let room = tempfile::tempdir().unwrap();
    let mut enclave = start(room.path(), Path::new(PROGRAM));
    enclave.boot(vec![]).unwrap();
    let served = enclave.attest(&[5; 32]);
    let (believed, report) = served.verify(&enclave.pin(), &[5; 32], now()).unwrap();
    assert!(report.ok() && believed.minting_keys == (&served.minting_key).into());
    assert_eq!(enclave.pcr0, nitro::extended(&std::fs::read(PROGRAM).unwrap()));
}

#[test]
fn a_program_changed_by_one_byte_is_another_and_gets_no_key() {
    let room = tempfile::tempdir().unwrap();
    let mut enclave = start(room.path(), Path::new(PROGRAM));
    let wrapped = enclave.boot(vec![]).unwrap();
    let pin = enclave.pin();
    drop(enclave);

    let changed = room.path().join("changed");
    let mut bytes = std::fs::read(PROGRAM).unwrap();
    bytes.push(0);
    std::fs::write(&changed, bytes).unwrap();
    let mut other = start(room.path(), &changed);
    assert_eq!(other.boot(wrapped), Err(Failure::Configuration));
    other.boot(vec![]).unwrap();
    let refused = other.attest(&[5; 32]).verify(&pin, &[5; 32], now()).unwrap_err();
    assert!(
        matches!(&refused, AttestationError::Document { check, .. } if check == "pcr-0"),
        "{refused}"
    );
    // Nor does the audit's build pass for the real one.
    assert_ne!(*Measured::load(Path::new(TAPPED)).unwrap().pcr0(), pin.pcrs[&0].0);
}

#[test]
fn after_a_restart_the_minting_key_is_the_same_and_the_sealing_key_new() {
    let room = tempfile::tempdir().unwrap();
    let believed = |enclave: &mut Running| {
        enclave.attest(&[6; 32]).verify(&enclave.pin(), &[6; 32], now()).unwrap().0
    };
    let mut first = start(room.path(), Path::new(PROGRAM));
    let wrapped = first.boot(vec![]).unwrap();
    let before = believed(&mut first);
    drop(first);
    let mut second = start(room.path(), Path::new(PROGRAM));
    assert_eq!(second.boot(wrapped.clone()), Ok(wrapped));
    let after = believed(&mut second);
    assert_eq!(after.minting_keys, before.minting_keys);
    assert_ne!(after.sealing_key, before.sealing_key);
}

#[test]
fn the_process_is_locked_down() {
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // What it inherits allows core files, where this machine does.
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: maximum, maximum }).unwrap();
    let room = tempfile::tempdir().unwrap();
    let enclave = start(room.path(), Path::new(PROGRAM));
    let socket = std::fs::metadata(room.path().join("enclave")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let process = format!("/proc/{}", enclave.child.id());
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let core: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(core, ["0", "0"]);
}

#[test]
fn without_its_arguments_it_does_not_start() {
    for arguments in [&[][..], &["--listen", "a"], &["--module", "nitro"], &["--listen", "a", "b"]]
    {
        let output = ended(Command::new(PROGRAM).args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage"), "{arguments:?}");
    }
}

/// No module stands in for the one that was asked for: not the software's, which waits on standard input.
#[test]
fn without_the_module_that_it_was_told_of_it_does_not_start() {
    let room = tempfile::tempdir().unwrap();
    let socket = room.path().join("enclave");
    assert!(!Path::new("/dev/nsm").exists(), "this test is for machines that are no Nitro enclave");
    for (module, complaint) in [("nitro", "/dev/nsm"), ("/nowhere/module", "no security module")] {
        let (_waits, standard_input) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("--listen").arg(&socket).args(["--module", module]);
        command.stdin(std::os::fd::OwnedFd::from(standard_input));
        let output = ended(&mut command);
        assert_eq!(output.status.code(), Some(2), "{module}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(complaint), "{module}");
        assert!(!socket.exists(), "{module}");
    }
}
