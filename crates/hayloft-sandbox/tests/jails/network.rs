//! A jail's own network ends at the host's sockets.

use std::net::{SocketAddr, TcpListener};

use hayloft_sandbox::{JailSpec, Tier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::support::{Fixture, SOON, enter, run, tiers};

fn asynchronous(listener: TcpListener) -> tokio::net::TcpListener {
    listener.set_nonblocking(true).unwrap();
    tokio::net::TcpListener::from_std(listener).unwrap()
}

/// Takes one connection, answers it, and tells which address it was for.
async fn answer(listener: tokio::net::TcpListener) -> (SocketAddr, String) {
    let (mut stream, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
    stream.write_all(b"hello\n").await.unwrap();
    let address = stream.local_addr().unwrap();
    stream.shutdown().await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    (address, said)
}

const ASK: &str = "ask() { bash -c 'exec 3<>/dev/tcp/$0/$1 && echo asked >&3 && cat <&3' $1 $2; }; ";

#[tokio::test]
async fn connections_and_questions_arrive_at_the_host_and_nothing_goes_elsewhere() {
    for tier in tiers().into_iter().filter(|tier| *tier <= Tier::B) {
        let fixture = Fixture::new("network", tier);
        let spec = JailSpec { ports: vec![80, 5432], ..fixture.spec("network") };
        let mut jail = enter(&fixture.sandbox, spec).await;
        let gate = asynchronous(jail.take_gate().unwrap());
        let network = jail.take_network().unwrap();
        assert!(jail.take_network().is_none());
        let [web, database]: [TcpListener; 2] = network.listeners.try_into().unwrap();
        let answering = tokio::spawn(async move {
            [answer(gate).await, answer(asynchronous(web)).await, answer(asynchronous(database)).await]
        });
        let script = format!("{ASK} ask 198.18.0.1 80; ask 198.18.1.7 80; ask 198.19.255.254 5432");
        let (said, _) = run(&jail, &script).await;
        assert_eq!(said, "hello\nhello\nhello\n", "{tier}");
        let addresses = answering.await.unwrap().map(|(address, said)| {
            assert_eq!(said, "asked\n");
            address.to_string()
        });
        assert_eq!(addresses, ["198.18.0.1:80", "198.18.1.7:80", "198.19.255.254:5432"], "{tier}");

        // Other ports have nobody, and other addresses are nowhere.
        for (place, refusal) in
            [("198.18.1.7 443", "refused"), ("198.18.0.1 5433", "refused"), ("9.9.9.9 80", "unreachable")]
        {
            let (said, _) = run(&jail, &format!("{ASK} ask {place}")).await;
            assert!(said.contains(refusal), "{tier}: {place}: {said}");
        }

        // A program of the system asks the name server that stands in the jail's own settings.
        network.names.set_nonblocking(true).unwrap();
        let names = UdpSocket::from_std(network.names).unwrap();
        let asked = tokio::spawn(async move {
            let mut question = [0; 512];
            let (length, from) =
                timeout(SOON, names.recv_from(&mut question)).await.expect("a question").unwrap();
            // The same question with the mark of an answer that says: no such name.
            let mut answer = question[..length].to_vec();
            (answer[2], answer[3]) = (0x81, 0x83);
            names.send_to(&answer, from).await.unwrap();
            String::from_utf8_lossy(&question[..length]).into_owned()
        });
        let (said, exit) = run(&jail, "getent ahostsv4 secret.example.com").await;
        assert!(!exit.is_success() && said.is_empty(), "{tier}: {said}");
        assert!(asked.await.unwrap().contains("\u{6}secret\u{7}example\u{3}com"), "{tier}");
        jail.end().await.unwrap();
    }
}

#[tokio::test]
async fn a_jail_without_a_network_of_its_own_has_no_sockets() {
    for tier in tiers().into_iter().filter(|tier| *tier > Tier::B) {
        let fixture = Fixture::new("no-network", tier);
        let spec = JailSpec { ports: vec![80], ..fixture.spec("no-network") };
        let mut jail = enter(&fixture.sandbox, spec).await;
        assert!(jail.take_gate().is_none() && jail.take_network().is_none(), "{tier}");
    }
}
