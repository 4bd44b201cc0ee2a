//! The name server of a jail: it answers from a table and asks nobody.

use std::net::Ipv4Addr;

use hayloft_model::HostName;
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};

use super::refusals::Reason;

/// For how long a worker may remember an answer, in seconds. Addresses stay as they are for much longer.
const REMEMBER: u32 = 60;

/// What is said about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// It has this address.
    Known(Ipv4Addr),
    /// It may not be reached.
    Refused,
    /// It may be reached, but all addresses are taken.
    Full,
}

/// An answer, and what was refused with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) refused: Option<(String, Reason)>,
}

/// Answers a question; `None` for what is not one.
pub(super) fn answer(query: &[u8], name: impl FnOnce(&HostName) -> Name) -> Option<Answer> {
    let query = Packet::parse(query).ok()?;
    if query.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let mut reply = Packet::new_reply(query.id());
    *reply.opcode_mut() = query.opcode();
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    let question = match (query.opcode(), query.questions.as_slice()) {
        (OPCODE::StandardQuery, [question]) => question,
        _ => {
            *reply.rcode_mut() = RCODE::NotImplemented;
            return finish(&reply, None);
        }
    };
    reply.questions.push(question.clone());
    let (code, refused) = match host_of(question).map(|host| name(&host)) {
        Some(Name::Known(address)) => {
            if question.qtype == QTYPE::TYPE(TYPE::A) && question.qclass == QCLASS::CLASS(CLASS::IN) {
                let address = RData::A(A::from(address));
                reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, REMEMBER, address));
            }
            // Of any other kind there is nothing, which is an answer, too.
            (RCODE::NoError, None)
        }
        Some(Name::Full) => (RCODE::ServerFailure, Some(Reason::TooManyNames)),
        Some(Name::Refused) | None => (RCODE::NameError, Some(Reason::Host)),
    };
    *reply.rcode_mut() = code;
    finish(&reply, refused.map(|reason| (shown(question), reason)))
}

fn finish(reply: &Packet<'_>, refused: Option<(String, Reason)>) -> Option<Answer> {
    Some(Answer { bytes: reply.build_bytes_vec().ok()?, refused })
}

/// The host that is asked for, if the name is one.
fn host_of(question: &Question<'_>) -> Option<HostName> {
    let mut text = String::new();
    for label in question.qname.as_bytes() {
        // A dot or anything else in a label would make another name of it.
        if !label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(std::str::from_utf8(label).ok()?);
    }
    HostName::parse(&text).ok()
}

/// The name as people may read it.
fn shown(question: &Question<'_>) -> String {
    let labels: Vec<_> = question.qname.as_bytes().map(|label| label.escape_ascii().to_string()).collect();
    labels.join(".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::rdata::OPT;

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 0);

    fn ask(query: &Packet<'_>) -> (Vec<u8>, Option<(String, Reason)>) {
        let answer = answer(&query.build_bytes_vec().unwrap(), |host| match host.as_str() {
            "api.example.com" => Name::Known(ADDRESS),
            "full.example.com" => Name::Full,
            _ => Name::Refused,
        });
        let answer = answer.unwrap();
        (answer.bytes, answer.refused)
    }

    fn query<'q>(name: &'q str, kind: TYPE) -> Packet<'q> {
        let mut packet = Packet::new_query(77);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = simple_dns::Name::new_unchecked(name);
        packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        packet
    }

    #[test]
    fn a_known_name_has_one_address_and_nothing_else() {
        for (name, kind, answers) in [
            ("api.example.com", TYPE::A, 1),
            ("API.Example.com", TYPE::A, 1),
            ("api.example.com", TYPE::AAAA, 0),
            ("api.example.com", TYPE::MX, 0),
            ("api.example.com", TYPE::TXT, 0),
        ] {
            let (bytes, refused) = ask(&query(name, kind));
            let reply = Packet::parse(&bytes).unwrap();
            assert_eq!((reply.id(), reply.rcode(), refused), (77, RCODE::NoError, None), "{name} {kind:?}");
            assert_eq!(reply.answers.len(), answers, "{name} {kind:?}");
            for record in &reply.answers {
                assert_eq!(record.rdata, RData::A(A::from(ADDRESS)));
            }
        }
    }

    #[test]
    fn other_names_are_refused_and_told() {
        for (name, code, reason) in [
            ("secret.attacker.test", RCODE::NameError, Reason::Host),
            ("example.com", RCODE::NameError, Reason::Host),
            ("x.api.example.com", RCODE::NameError, Reason::Host),
            ("127.0.0.1", RCODE::NameError, Reason::Host),
            ("full.example.com", RCODE::ServerFailure, Reason::TooManyNames),
        ] {
            let (bytes, refused) = ask(&query(name, TYPE::A));
            let reply = Packet::parse(&bytes).unwrap();
            assert_eq!((reply.rcode(), reply.answers.len()), (code, 0), "{name}");
            assert_eq!(refused, Some((name.to_owned(), reason)));
        }
    }

    #[test]
    fn a_dot_inside_a_label_makes_no_other_name() {
        let labels = [b"api.example".as_slice(), b"com"];
        let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label);
        }
        bytes.extend([0, 0, 1, 0, 1]);
        let reply = answer(&bytes, |_| Name::Known(ADDRESS)).unwrap();
        assert_eq!(Packet::parse(&reply.bytes).unwrap().rcode(), RCODE::NameError);
    }

    #[test]
    fn extensions_do_no_harm_and_what_is_no_question_gets_no_answer() {
        let mut extended = query("api.example.com", TYPE::A);
        *extended.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: 1232, version: 0 });
        let (bytes, _) = ask(&extended);
        assert_eq!(Packet::parse(&bytes).unwrap().answers.len(), 1);

        let known = |_: &HostName| Name::Known(ADDRESS);
        assert_eq!(answer(b"", known), None);
        assert_eq!(answer(b"GET / HTTP/1.1", known), None);
        assert_eq!(answer(&Packet::new_reply(1).build_bytes_vec().unwrap(), known), None);
        let empty = answer(&Packet::new_query(1).build_bytes_vec().unwrap(), known).unwrap();
        assert_eq!(Packet::parse(&empty.bytes).unwrap().rcode(), RCODE::NotImplemented);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes: Vec<u8>, place: usize, change: u8) {
            answer(&bytes, |_| Name::Known(ADDRESS));
            let mut real = query("api.example.com", TYPE::A).build_bytes_vec().unwrap();
            let place = place % real.len();
            real[place] = change;
            answer(&real, |_| Name::Refused);
        }
    }
}
