//! Certificate chains with one fault, under documents that are otherwise right.

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
use rcgen::{
    BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
};

use super::forge::{Chain, Link, NOW, array, bytes, check, document, moment};
use crate::CheckName;

type Spoil = fn(&mut Vec<Link>);

fn chain_check(spoil: Spoil) -> Result<(), (CheckName, String)> {
    let chain = Chain::new(spoil);
    check(&document(&chain, |_| {}), &chain)
        .map(drop)
        .map_err(|rejection| (rejection.check, rejection.detail))
}

#[test]
fn wrong_chains_are_refused() {
    use CheckName::{CertificateChain, Root};

    const UNKNOWN: &[u64] = &[1, 3, 6, 1, 4, 1, 99999, 1];
    let table: &[(&str, CheckName, Spoil)] = &[
        ("root expired", Root, |links| links[0].parameters.not_after = moment(NOW - 1)),
        ("root not yet valid", Root, |links| links[0].parameters.not_before = moment(NOW + 2)),
        ("root no CA", Root, |links| links[0].parameters.is_ca = IsCa::ExplicitNoCa),
        ("root without basicConstraints", Root, |links| links[0].parameters.is_ca = IsCa::NoCa),
        ("root that may not sign certificates", Root, |links| {
            links[0].parameters.key_usages = vec![KeyUsagePurpose::CrlSign];
        }),
        ("root that allows too few", CertificateChain, |links| {
            links[0].parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
        }),
        ("intermediate expired", CertificateChain, |links| {
            links[2].parameters.not_after = moment(NOW);
        }),
        ("intermediate not yet valid", CertificateChain, |links| {
            links[2].parameters.not_before = moment(NOW + 2);
        }),
        ("leaf expired", CertificateChain, |links| links[4].parameters.not_after = moment(NOW)),
        ("leaf ends before it begins", CertificateChain, |links| {
            links[4].parameters.not_before = moment(NOW + 3);
            links[4].parameters.not_after = moment(NOW - 3);
        }),
        ("intermediate no CA", CertificateChain, |links| {
            links[2].parameters.is_ca = IsCa::ExplicitNoCa;
        }),
        ("intermediate that allows too few", CertificateChain, |links| {
            links[1].parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        }),
        ("intermediate that may not sign certificates", CertificateChain, |links| {
            links[3].parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        }),
        ("intermediate without keyUsage", CertificateChain, |links| {
            links[3].parameters.key_usages = vec![];
        }),
        ("leaf is a CA", CertificateChain, |links| {
            links[4].parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }),
        ("leaf is a CA that may sign data", CertificateChain, |links| {
            links[4].parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            links[4].parameters.key_usages.push(KeyUsagePurpose::KeyCertSign);
        }),
        ("leaf may not sign", CertificateChain, |links| {
            links[4].parameters.key_usages = vec![KeyUsagePurpose::KeyAgreement];
        }),
        ("leaf without keyUsage", CertificateChain, |links| {
            links[4].parameters.key_usages = vec![];
        }),
        ("leaf may sign certificates too", CertificateChain, |links| {
            links[4].parameters.key_usages.push(KeyUsagePurpose::KeyCertSign);
        }),
        ("leaf for TLS servers", CertificateChain, |links| {
            links[4].parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }),
        ("intermediate for TLS clients", CertificateChain, |links| {
            links[2].parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }),
        ("unknown critical extension", CertificateChain, |links| {
            let mut extension = CustomExtension::from_oid_content(UNKNOWN, vec![5, 0]);
            extension.set_criticality(true);
            links[4].parameters.custom_extensions = vec![extension];
        }),
        (
            "critical name constraints, which no genuine certificate has",
            CertificateChain,
            |links| {
                links[2].parameters.name_constraints = Some(NameConstraints {
                    permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".into())],
                    excluded_subtrees: vec![],
                });
            },
        ),
        ("intermediate that is a CA, not critically", CertificateChain, |links| {
            const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
            let ca = vec![0x30, 3, 1, 1, 0xff];
            links[2].parameters.is_ca = IsCa::NoCa;
            links[2].parameters.custom_extensions =
                vec![CustomExtension::from_oid_content(BASIC_CONSTRAINTS, ca)];
        }),
        ("the same extension twice", CertificateChain, |links| {
            let extension = CustomExtension::from_oid_content(UNKNOWN, vec![5, 0]);
            links[4].parameters.custom_extensions = vec![extension.clone(), extension];
        }),
        ("issuer of another name", CertificateChain, |links| links[4].issuer = Some("else")),
        ("intermediate's issuer of another name", CertificateChain, |links| {
            links[2].issuer = Some("else");
        }),
        ("intermediate on P-256", CertificateChain, |links| {
            links[3].algorithm = &PKCS_ECDSA_P256_SHA256;
        }),
        ("intermediate on P-521", CertificateChain, |links| {
            links[2].algorithm = &PKCS_ECDSA_P521_SHA512;
        }),
        ("intermediate with Ed25519", CertificateChain, |links| links[3].algorithm = &PKCS_ED25519),
    ];
    assert_eq!(chain_check(|_| {}), Ok(()));
    assert_eq!(
        chain_check(|links| {
            let extension = CustomExtension::from_oid_content(UNKNOWN, vec![5, 0]);
            links[4].parameters.custom_extensions = vec![extension];
            links[4].parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
            links[4].parameters.key_usages.push(KeyUsagePurpose::ContentCommitment);
        }),
        Ok(()),
        "an unknown extension that isn't critical, any purpose, nonRepudiation"
    );
    for (name, expected, spoil) in table {
        match chain_check(*spoil) {
            Ok(()) => panic!("{name}: accepted"),
            Err((check, detail)) => assert_eq!(check, *expected, "{name}: {detail}"),
        }
    }
}

#[test]
fn a_leaf_on_another_curve_is_refused() {
    let chain = Chain::new(|links| links[4].algorithm = &PKCS_ECDSA_P256_SHA256);
    let document = document(&chain, |parts| {
        parts.algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        parts.protected = vec![0xa1, 0x01, 0x26];
    });
    assert_eq!(check(&document, &chain).unwrap_err().check, CheckName::Cose);
}

#[test]
fn shorter_and_longer_chains_pass_as_long_as_they_are_chains() {
    let direct = Chain::new(|links| drop(links.drain(1..4)));
    assert!(check(&document(&direct, |_| {}), &direct).is_ok());
    let longer = Chain::new(|links| {
        for link in &mut links[..4] {
            link.parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        links.insert(1, Link::new("continental", Some(3)));
    });
    assert!(check(&document(&longer, |_| {}), &longer).is_ok());
}

/// The bundle is changed after issuing, and the document signed with it: what is in it must be the path.
#[test]
fn a_bundle_that_is_not_the_path_is_refused() {
    let unconstrained = |links: &mut Vec<Link>| {
        for link in &mut links[..4] {
            link.parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
    };
    let chain = Chain::new(unconstrained);
    let stranger = Chain::new(unconstrained);
    let [root, regional, zonal, instance, leaf] =
        [0, 1, 2, 3, 4].map(|index| chain.certificates[index].clone());
    let [other_root, other_regional] = [0, 1].map(|index| stranger.certificates[index].clone());
    let all = [root, regional, zonal, instance];
    let bundle = |order: &[usize]| order.iter().map(|index| all[*index].clone()).collect();
    let mut with_stranger: Vec<Vec<u8>> = bundle(&[0, 1, 2, 3]);
    with_stranger.insert(1, other_regional.clone());
    let mut strangers_root: Vec<Vec<u8>> = bundle(&[0, 1, 2, 3]);
    strangers_root[0] = other_root.clone();
    let mut both_roots: Vec<Vec<u8>> = bundle(&[0, 1, 2, 3]);
    both_roots.insert(0, other_root);
    let mut with_leaf: Vec<Vec<u8>> = bundle(&[0, 1, 2, 3]);
    with_leaf.push(leaf);
    let mut replaced: Vec<Vec<u8>> = bundle(&[0, 1, 2, 3]);
    replaced[1] = other_regional;
    let mut padded: Vec<Vec<u8>> = bundle(&[0, 1, 2, 3]);
    padded[2].push(0);

    for (name, bundle, expected) in [
        ("as issued", bundle(&[0, 1, 2, 3]), None),
        ("no root", bundle(&[1, 2, 3]), Some(CheckName::Root)),
        ("root last", bundle(&[3, 2, 1, 0]), Some(CheckName::Root)),
        ("another root", strangers_root, Some(CheckName::Root)),
        ("another root before", both_roots, Some(CheckName::Root)),
        ("reordered", bundle(&[0, 2, 1, 3]), Some(CheckName::CertificateChain)),
        ("one left out", bundle(&[0, 1, 3]), Some(CheckName::CertificateChain)),
        ("root only", bundle(&[0]), Some(CheckName::CertificateChain)),
        ("root twice", bundle(&[0, 0, 1, 2, 3]), Some(CheckName::CertificateChain)),
        ("one twice", bundle(&[0, 1, 2, 2, 3]), Some(CheckName::CertificateChain)),
        ("last twice", bundle(&[0, 1, 2, 3, 3]), Some(CheckName::CertificateChain)),
        ("a stranger's too", with_stranger, Some(CheckName::CertificateChain)),
        ("a stranger's instead", replaced, Some(CheckName::CertificateChain)),
        ("the leaf too", with_leaf, Some(CheckName::CertificateChain)),
        ("a byte behind one", padded, Some(CheckName::CertificateChain)),
    ] {
        let items: Vec<_> = bundle.iter().map(|certificate| bytes(certificate)).collect();
        let document = document(&chain, |parts| parts.set("cabundle", array(&items)));
        let refused = check(&document, &chain).err().map(|rejection| rejection.check);
        assert_eq!(refused, expected, "{name}");
    }
}

/// A signed path of equal names, once too long: every link holds, but rustls-webpki walks a shorter one.
#[test]
fn a_detour_among_equal_names_is_refused() {
    let chain = Chain::new(|links| {
        for link in &mut links[..4] {
            link.parameters = Link::new("same", Some(0)).parameters;
            link.parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
    });
    let items: Vec<_> =
        [0, 1, 2, 2, 3].iter().map(|index| bytes(&chain.certificates[*index])).collect();
    let good = document(&chain, |_| {});
    let detour = document(&chain, |parts| parts.set("cabundle", array(&items)));
    assert!(check(&good, &chain).is_ok());
    assert_eq!(check(&detour, &chain).unwrap_err().check, CheckName::CertificateChain);
}
