//! The security module of AWS Nitro Enclaves: the hypervisor's, behind `/dev/nsm`.
//!
//! Source: aws/aws-nitro-enclaves-nsm-api, whose crate speaks to the device.

use std::io::Write;

use aws_nitro_enclaves_nsm_api::api::{Digest, ErrorCode, Request, Response};
use aws_nitro_enclaves_nsm_api::driver::{nsm_exit, nsm_init, nsm_process_request};
use zeroize::Zeroizing;

use crate::{ModuleError, SecurityModule};

/// The interface that this was written for.
const VERSION: u16 = 1;
/// How many registers there are.
const REGISTERS: u16 = 32;
/// Whole image, kernel and boot, application: what an enclave could still change says nothing.
const MEASURED: [u16; 3] = [0, 1, 2];
/// The longest public key, user data or nonce.
const LONGEST_FIELD: usize = 1024;
/// How much of the module's randomness the kernel gets.
const SEED: usize = 256;

/// The hypervisor's module.
pub struct NitroModule<D: Device = NsmDevice>(D);

/// What takes a request and gives its response.
pub trait Device: Send + Sync {
    /// One exchange.
    fn exchange(&self, request: Request) -> Response;
}

/// `/dev/nsm`, open.
pub struct NsmDevice(i32);

impl NsmDevice {
    /// Opens the device.
    ///
    /// # Errors
    /// [`ModuleError::Silent`] where there is none.
    pub fn open() -> Result<Self, ModuleError> {
        match nsm_init() {
            descriptor if descriptor < 0 => Err(ModuleError::Silent),
            descriptor => Ok(Self(descriptor)),
        }
    }
}

impl Device for NsmDevice {
    fn exchange(&self, request: Request) -> Response {
        nsm_process_request(self.0, request)
    }
}

impl Drop for NsmDevice {
    fn drop(&mut self) {
        nsm_exit(self.0);
    }
}

impl<D: Device> NitroModule<D> {
    /// The module behind `device`, if it is of the kind that is known here and keeps what it measured from being changed.
    ///
    /// # Errors
    /// [`ModuleError`]; [`ModuleError::Unknown`] for another kind.
    pub fn new(device: D) -> Result<Self, ModuleError> {
        match device.exchange(Request::DescribeNSM) {
            Response::DescribeNSM {
                version_major: VERSION,
                max_pcrs: REGISTERS,
                digest: Digest::SHA384,
                locked_pcrs,
                ..
            } if MEASURED.iter().all(|register| locked_pcrs.contains(register)) => Ok(Self(device)),
            Response::DescribeNSM { .. } => Err(ModuleError::Unknown),
            other => Err(refusal(&other)),
        }
    }

    /// Writes of the module's randomness to `pool`, the kernel's, so that keys don't hang on what a freshly booted machine
    /// could gather alone.
    ///
    /// # Errors
    /// [`ModuleError`], also when the pool takes nothing.
    pub fn seed(&self, pool: &mut impl Write) -> Result<(), ModuleError> {
        let mut seed = Zeroizing::new(Vec::with_capacity(2 * SEED));
        while seed.len() < SEED {
            match self.0.exchange(Request::GetRandom) {
                Response::GetRandom { random } if !random.is_empty() => {
                    seed.extend_from_slice(&Zeroizing::new(random));
                }
                other => return Err(refusal(&other)),
            }
        }
        pool.write_all(&seed).map_err(|_| ModuleError::Silent)
    }
}

impl<D: Device> SecurityModule for NitroModule<D> {
    fn attest(
        &self,
        public_key: &[u8],
        user_data: &[u8],
        nonce: &[u8],
    ) -> Result<Vec<u8>, ModuleError> {
        if [public_key, user_data, nonce].iter().any(|field| field.len() > LONGEST_FIELD) {
            return Err(ModuleError::TooLong);
        }
        let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec().into());
        let request = Request::Attestation {
            user_data: some(user_data),
            nonce: some(nonce),
            public_key: some(public_key),
        };
        match self.0.exchange(request) {
            Response::Attestation { document } => Ok(document),
            other => Err(refusal(&other)),
        }
    }
}

/// What a response means that isn't the one asked for.
const fn refusal(response: &Response) -> ModuleError {
    match response {
        Response::Error(ErrorCode::InputTooLarge) => ModuleError::TooLong,
        Response::Error(ErrorCode::InvalidResponse | ErrorCode::Success) => ModuleError::Silent,
        Response::Error(_) => ModuleError::Refused,
        _ => ModuleError::Silent,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;

    /// A device that notes what it is asked and answers in turn.
    struct Script {
        asked: Mutex<Vec<Request>>,
        answers: Mutex<Vec<Response>>,
    }

    impl Device for Script {
        fn exchange(&self, request: Request) -> Response {
            self.asked.lock().unwrap().push(request);
            self.answers.lock().unwrap().remove(0)
        }
    }

    fn script(answers: Vec<Response>) -> Script {
        Script { asked: Mutex::default(), answers: Mutex::new(answers) }
    }

    fn described(major: u16, max_pcrs: u16, locked: &[u16], digest: Digest) -> Response {
        Response::DescribeNSM {
            version_major: major,
            version_minor: 0,
            version_patch: 0,
            module_id: "i-0123456789abcdef0-enc0123456789abcde".into(),
            max_pcrs,
            locked_pcrs: BTreeSet::from_iter(locked.iter().copied()),
            digest,
        }
    }

    fn genuine() -> Response {
        described(1, 32, &[0, 1, 2, 3, 4, 8], Digest::SHA384)
    }

    fn module(then: Vec<Response>) -> NitroModule<Script> {
        let mut answers = vec![genuine()];
        answers.extend(then);
        NitroModule::new(script(answers)).unwrap()
    }

    fn document() -> Response {
        Response::Attestation { document: vec![7; 9] }
    }

    #[test]
    fn a_module_of_another_kind_is_not_relied_on() {
        for other in [
            described(2, 32, &[0, 1, 2], Digest::SHA384),
            described(0, 32, &[0, 1, 2], Digest::SHA384),
            described(1, 16, &[0, 1, 2], Digest::SHA384),
            described(1, 32, &[0, 1, 2], Digest::SHA512),
            described(1, 32, &[1, 2, 3], Digest::SHA384),
            described(1, 32, &[0, 1], Digest::SHA384),
            described(1, 32, &[], Digest::SHA384),
        ] {
            assert_eq!(NitroModule::new(script(vec![other])).err(), Some(ModuleError::Unknown));
        }
        assert!(NitroModule::new(script(vec![genuine()])).is_ok());
        let silent = script(vec![document()]);
        assert_eq!(NitroModule::new(silent).err(), Some(ModuleError::Silent));
    }

    #[test]
    fn a_request_has_each_field_in_its_place_and_no_empty_ones() {
        let module = module(vec![document(), document()]);
        assert_eq!(module.attest(b"key", b"data", b"nonce"), Ok(vec![7; 9]));
        assert_eq!(module.attest(b"key", b"", b""), Ok(vec![7; 9]));
        let asked = module.0.asked.lock().unwrap();
        let [_, Request::Attestation { public_key, user_data, nonce }, second] = &asked[..] else {
            panic!("{asked:?}");
        };
        assert_eq!(public_key.as_deref().map(Vec::as_slice), Some(&b"key"[..]));
        assert_eq!(user_data.as_deref().map(Vec::as_slice), Some(&b"data"[..]));
        assert_eq!(nonce.as_deref().map(Vec::as_slice), Some(&b"nonce"[..]));
        assert!(matches!(second, Request::Attestation { user_data: None, nonce: None, .. }));
    }

    #[test]
    fn fields_have_1024_bytes_at_most() {
        let (long, most) = ([1; 1025], [1; 1024]);
        let module = module(vec![document()]);
        assert_eq!(module.attest(&long, b"", b""), Err(ModuleError::TooLong));
        assert_eq!(module.attest(b"", &long, b""), Err(ModuleError::TooLong));
        assert_eq!(module.attest(b"", b"", &long), Err(ModuleError::TooLong));
        // What is too long isn't even asked.
        assert_eq!(module.0.asked.lock().unwrap().len(), 1);
        assert!(module.attest(&most, &most, &most).is_ok());
    }

    #[test]
    fn its_errors_are_told_apart() {
        for (code, error) in [
            (ErrorCode::InputTooLarge, ModuleError::TooLong),
            (ErrorCode::InvalidArgument, ModuleError::Refused),
            (ErrorCode::InvalidOperation, ModuleError::Refused),
            (ErrorCode::InternalError, ModuleError::Refused),
            (ErrorCode::BufferTooSmall, ModuleError::Refused),
            (ErrorCode::InvalidResponse, ModuleError::Silent),
        ] {
            let module = module(vec![Response::Error(code)]);
            assert_eq!(module.attest(b"key", b"", b""), Err(error));
        }
        let module = module(vec![Response::LockPCR]);
        assert_eq!(module.attest(b"key", b"", b""), Err(ModuleError::Silent));
    }

    #[test]
    fn the_kernels_pool_gets_the_modules_randomness() {
        let random = |bytes: &[u8]| Response::GetRandom { random: bytes.to_vec() };
        let mut pool = Vec::new();
        let generous = module(vec![random(&[1; 200]), random(&[2; 56]), random(&[3; 1])]);
        generous.seed(&mut pool).unwrap();
        assert_eq!(pool, [[1; 200].as_slice(), &[2; 56]].concat());

        let mut pool = Vec::new();
        let empty = module(vec![random(&[1; 200]), random(&[])]);
        assert_eq!(empty.seed(&mut pool), Err(ModuleError::Silent));
        assert_eq!(pool, [0; 0]);
        let full = &mut [0; 255][..];
        assert_eq!(module(vec![random(&[1; 256])]).seed(&mut { full }), Err(ModuleError::Silent));
    }
}
