//! One boot, one configuration, one minting key; and what an enclave attests to.

use jws::VerifyingKey;
use wire::BootConfiguration;
use wire::parent::{Answer, Failure, Request};

use crate::fixture::{
    Module, attested, boot, boot_with_former, configuration, enclave, refresh, refusal,
    sealing_key, wrapped,
};

fn contains(document: &[u8], part: &[u8]) -> bool {
    document.windows(part.len()).any(|window| window == part)
}

#[test]
fn nothing_is_done_before_the_boot() {
    let module = Module::new(1);
    let enclave = enclave(&module);
    let request = || vec![1, 2, 3];
    for asked in [
        Request::Attest { nonce: vec![1] },
        Request::Generate { order: request(), sealed: request() },
        Request::Refresh { order: request(), sealed: request() },
        Request::NewKey,
    ] {
        assert_eq!(enclave.answer(asked), Err(Failure::NotBooted));
    }
    assert_eq!(module.asked(), 0);
}

#[test]
fn a_first_boot_makes_a_key_and_gives_it_wrapped() {
    let module = Module::new(1);
    let wrapped_keys = [(); 2].map(|()| {
        let answer = enclave(&module).answer(boot(vec![])).unwrap();
        let Answer::Booted { wrapped_key, .. } = answer else { panic!("not booted") };
        assert_eq!(wrapped_key.len(), 33);
        wrapped_key
    });
    assert_ne!(wrapped_keys[0], wrapped_keys[1]);
}

#[test]
fn the_same_boot_again_changes_nothing_and_another_is_refused() {
    let enclave = enclave(&Module::new(1));
    let first = enclave.answer(boot(vec![]));
    assert!(first.is_ok());
    let keys = || {
        let (_, minting_key) = attested(&enclave.answer(Request::Attest { nonce: vec![1] }));
        (sealing_key(&enclave), minting_key)
    };
    let before = keys();
    assert_eq!(enclave.answer(boot(vec![])), first);
    // A second boot's wrapped key isn't looked at: the enclave keeps the one that it has.
    assert_eq!(enclave.answer(boot(wrapped(1))), first);
    let mut other = configuration();
    other.push(b' ');
    let other = Request::Boot { configuration: other, wrapped_key: vec![], former_keys: vec![] };
    assert_eq!(enclave.answer(other), Err(Failure::Configuration));
    assert_eq!(keys(), before);
}

#[test]
fn a_configuration_that_is_none_can_be_followed_by_one_that_is() {
    let enclave = enclave(&Module::new(1));
    let text = String::from_utf8(configuration()).unwrap();
    for configuration in ["", "{}", &text[1..], &text.replacen('{', r#"{"more":1,"#, 1)] {
        let request = Request::Boot {
            configuration: configuration.into(),
            wrapped_key: vec![],
            former_keys: vec![],
        };
        assert_eq!(enclave.answer(request), Err(Failure::Configuration));
    }
    assert!(enclave.answer(boot(vec![])).is_ok());
}

#[test]
fn a_kept_key_comes_back_to_the_same_program_only() {
    let module = Module::new(1);
    let Ok(Answer::Booted { wrapped_key, .. }) = enclave(&module).answer(boot(wrapped(1))) else {
        panic!("not booted");
    };
    assert_eq!(wrapped_key, wrapped(1));
    let minting_key = |wrapped: Vec<u8>| {
        let enclave = enclave(&module);
        enclave.answer(boot(wrapped)).unwrap();
        attested(&enclave.answer(Request::Attest { nonce: vec![] })).1
    };
    assert_eq!(minting_key(wrapped(1)), minting_key(wrapped(1)));
    assert_ne!(minting_key(wrapped(1)), minting_key(vec![]));

    let other = enclave(&Module::new(2));
    assert_eq!(other.answer(boot(wrapped(1))), Err(Failure::Configuration));
    // Of the right program, and not a key.
    assert_eq!(other.answer(boot(wrapped(2)[..32].to_vec())), Err(Failure::Configuration));
    // It wasn't booted meanwhile.
    assert_eq!(other.answer(Request::Attest { nonce: vec![] }), Err(Failure::NotBooted));
    assert!(other.answer(boot(wrapped(2))).is_ok());
}

#[test]
fn each_run_has_a_sealing_key_of_its_own() {
    let module = Module::new(1);
    let [one, other] = [(); 2].map(|()| {
        let enclave = enclave(&module);
        enclave.answer(boot(wrapped(1))).unwrap();
        enclave
    });
    let (request, _) = refresh(&sealing_key(&one));
    assert!(matches!(one.answer(request.clone()), Ok(Answer::Granted { .. })));
    assert_eq!(other.answer(request), Err(Failure::OtherKey));
}

#[test]
fn a_document_names_nonce_and_the_hash_of_configuration_and_minting_key() {
    let enclave = enclave(&Module::new(1));
    enclave.answer(boot(wrapped(1))).unwrap();
    let answer = enclave.answer(Request::Attest { nonce: b"a nonce of ours".to_vec() });
    let Ok(Answer::Attested { document, configuration: shown, minting_key, .. }) = answer else {
        panic!("not attested");
    };
    assert_eq!(shown, configuration());
    let minting_key = VerifyingKey::from_bytes(minting_key.try_into().unwrap());
    assert!(contains(
        &document,
        &BootConfiguration::user_data(&configuration(), &minting_key, &[])
    ));
    assert!(contains(&document, b"a nonce of ours"));
}

#[test]
fn a_nonce_has_512_bytes_at_most() {
    let enclave = enclave(&Module::new(1));
    enclave.answer(boot(vec![])).unwrap();
    let attest = |length| enclave.answer(Request::Attest { nonce: vec![7; length] });
    assert!(attest(0).is_ok() && attest(512).is_ok());
    assert_eq!(attest(513), Err(Failure::Unknown));
}

#[test]
fn a_module_that_fails_fails_the_request_only() {
    let module = Module::new(1);
    let enclave = enclave(&module);
    module.fail(true);
    assert_eq!(enclave.answer(boot(vec![])), Err(Failure::Module));
    module.fail(false);
    enclave.answer(boot(wrapped(1))).unwrap();
    let (request, key) = refresh(&sealing_key(&enclave));
    module.fail(true);
    assert_eq!(enclave.answer(Request::Attest { nonce: vec![] }), Err(Failure::Module));
    // Without the module there is no time, and nothing is decided.
    assert_eq!(enclave.answer(request.clone()), Err(Failure::Module));
    module.fail(false);
    assert_eq!(refusal(&enclave.answer(request), &key), None);
}

#[test]
fn an_order_that_is_no_text_is_no_order() {
    let enclave = enclave(&Module::new(1));
    enclave.answer(boot(vec![])).unwrap();
    let order = vec![0xff, 0xfe];
    let generate = Request::Generate { order: order.clone(), sealed: vec![] };
    assert_eq!(enclave.answer(generate), Err(Failure::Order));
    let refresh = Request::Refresh { order, sealed: vec![] };
    assert_eq!(enclave.answer(refresh), Err(Failure::Order));
}

/// The public keys that an enclave says it minted with before.
fn former_keys(answer: &Result<Answer, Failure>) -> Vec<VerifyingKey> {
    let Ok(Answer::Attested { former_keys, .. }) = answer else { panic!("not attested") };
    former_keys.iter().map(|key| VerifyingKey::from_bytes(key[..].try_into().unwrap())).collect()
}

#[test]
fn a_new_key_is_made_for_a_later_boot_which_goes_on_believing_the_former_one() {
    let module = Module::new(1);
    let old = enclave(&module);
    old.answer(boot(wrapped(1))).unwrap();
    let old_key = attested(&old.answer(Request::Attest { nonce: vec![] })).1;
    let Ok(Answer::Key { wrapped_key, public_key }) = old.answer(Request::NewKey) else {
        panic!("no key");
    };
    assert_eq!(
        attested(&old.answer(Request::Attest { nonce: vec![] })).1,
        old_key,
        "the new key mints nothing before it is booted"
    );

    let new = enclave(&module);
    let booted = new.answer(boot_with_former(wrapped_key.clone(), vec![wrapped(1)])).unwrap();
    assert_eq!(
        booted,
        Answer::Booted { wrapped_key: wrapped_key.clone(), public_key: public_key.clone() }
    );
    let answer = new.answer(Request::Attest { nonce: vec![9] });
    let (document, key) = attested(&answer);
    let (key, former) = (VerifyingKey::from_bytes(key.try_into().unwrap()), former_keys(&answer));
    assert_eq!(key.bytes().to_vec(), public_key);
    assert_eq!(former.iter().map(|key| key.bytes().to_vec()).collect::<Vec<_>>(), [old_key]);
    // What is attested to holds all of them.
    let data =
        |former: &[VerifyingKey]| BootConfiguration::user_data(&configuration(), &key, former);
    assert!(contains(&document, &data(&former)) && !contains(&document, &data(&[])));
    // The same boot again is answered; with other former keys it is another one.
    let again = |former| new.answer(boot_with_former(wrapped_key.clone(), former));
    assert_eq!(again(vec![wrapped(1)]), Ok(booted));
    assert_eq!(again(vec![]), Err(Failure::Configuration));
}

#[test]
fn only_what_the_key_source_wrapped_is_a_former_key() {
    let module = Module::new(1);
    for former in [wrapped(2), vec![], b"a key that the parent made up, 33 b".to_vec()] {
        let refused = enclave(&module).answer(boot_with_former(wrapped(1), vec![former]));
        assert_eq!(refused, Err(Failure::Configuration));
    }
}

#[test]
fn a_refused_minting_key_neither_mints_nor_is_believed() {
    let module = Module::new(1);
    let old = enclave(&module);
    old.answer(boot(wrapped(1))).unwrap();
    let stolen = attested(&old.answer(Request::Attest { nonce: vec![] })).1;
    let stolen = VerifyingKey::from_bytes(stolen.try_into().unwrap());
    let mut refusing: BootConfiguration = serde_json::from_slice(&configuration()).unwrap();
    refusing.refused_minting_keys.push(stolen.id().clone());
    let configuration = serde_json::to_vec(&refusing).unwrap();
    let ask = |wrapped_key, former_keys| {
        let configuration = configuration.clone();
        enclave(&module).answer(Request::Boot { configuration, wrapped_key, former_keys })
    };
    assert_eq!(ask(wrapped(1), vec![]), Err(Failure::Configuration));
    assert_eq!(ask(vec![], vec![wrapped(1)]), Err(Failure::Configuration));
    assert!(ask(vec![], vec![]).is_ok());
}
