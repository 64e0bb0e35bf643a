//! The command line: where the enclave listens, and which security module it has. Both are decided here and nowhere else.

use std::ffi::OsString;

use wire::StreamAddress;

/// How the program is used.
pub(crate) const USAGE: &str =
    "usage: cloakroom-enclave --listen ADDRESS --module nitro|stdin|ADDRESS
ADDRESS: the path of a Unix socket, or vsock:CID:PORT";

/// What the program was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) listen: StreamAddress,
    pub(crate) module: ModuleChoice,
}

/// Which security module attests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ModuleChoice {
    /// The hypervisor's, behind `/dev/nsm`; the minting key isn't kept.
    Nitro,
    /// A software one on standard input.
    Stdin,
    /// A software one to connect to.
    At(StreamAddress),
}

impl Arguments {
    /// Reads the arguments, without the program's name; each is given exactly once, in any order.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let (mut listen, mut module) = (None, None);
        while let Some(flag) = arguments.next() {
            let value = arguments.next()?;
            let twice = match flag.to_str()? {
                "--listen" => listen.replace(StreamAddress::parse(&value).ok()?).is_some(),
                "--module" => module.replace(ModuleChoice::parse(&value)?).is_some(),
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        Some(Self { listen: listen?, module: module? })
    }
}

impl ModuleChoice {
    fn parse(text: &OsString) -> Option<Self> {
        match text.to_str() {
            Some("nitro") => Some(Self::Nitro),
            Some("stdin") => Some(Self::Stdin),
            _ => StreamAddress::parse(text).ok().map(Self::At),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Arguments> {
        Arguments::parse(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from))
    }

    #[test]
    fn a_module_is_chosen_by_name_or_address() {
        let address = |text: &str| StreamAddress::parse(text.as_ref()).unwrap();
        for (line, listen, module) in [
            ("--listen a --module stdin", "a", ModuleChoice::Stdin),
            ("--module nitro --listen vsock:any:5005", "vsock:any:5005", ModuleChoice::Nitro),
            ("--listen a --module vsock:2:7", "a", ModuleChoice::At(address("vsock:2:7"))),
            ("--listen a --module ./nitro", "a", ModuleChoice::At(address("./nitro"))),
        ] {
            assert_eq!(parse(line), Some(Arguments { listen: address(listen), module }), "{line}");
        }
    }

    #[test]
    fn nothing_is_chosen_for_who_did_not_choose() {
        for line in [
            "",
            "--listen a",
            "--module nitro",
            "--listen a --module",
            "--listen vsock:3 --module nitro",
            "--listen a --module vsock:3",
            "--listen a --listen b --module nitro",
            "--listen a --module nitro --module nitro",
            "--listen a --module nitro --more b",
            "--listen a --module nitro more",
            "--socket a --module nitro",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
