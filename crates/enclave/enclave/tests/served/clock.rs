//! The enclave's time is its module's.

use std::time::Duration;

use lease::ORDER_LIFE;
use minting::Refusal;
use receipt::Srt;
use wire::parent::Failure;

use crate::fixture::{
    Module, NOW, boot, enclave, refresh, refresh_at, refusal, sealing_key, wrapped,
};

#[test]
fn what_has_expired_is_the_modules_to_say() {
    let end = Srt::end(NOW).start().plus(jws::CLOCK_SKEW);
    for (now, expected) in
        [(NOW, None), (end.minus(Duration::from_secs(30)), None), (end, Some(Refusal::SrtExpired))]
    {
        let module = Module::new(1);
        module.set(now);
        let enclave = enclave(&module);
        enclave.answer(boot(wrapped(1))).unwrap();
        let (request, key) = refresh_at(&sealing_key(&enclave), now);
        assert_eq!(refusal(&enclave.answer(request), &key), expected);
        // An order of then is good then alone.
        let (request, _) = refresh_at(&sealing_key(&enclave), now.minus(2 * ORDER_LIFE));
        assert_eq!(enclave.answer(request), Err(Failure::Order));
    }
}

#[test]
fn the_module_is_not_asked_for_the_time_at_every_request() {
    let module = Module::new(1);
    let enclave = enclave(&module);
    enclave.answer(boot(wrapped(1))).unwrap();
    let to = sealing_key(&enclave);
    let before = module.asked();
    for _ in 0..3 {
        let (request, key) = refresh(&to);
        assert_eq!(refusal(&enclave.answer(request), &key), None);
    }
    assert_eq!(module.asked(), before + 1);
}
