//! One message to a broker: connect, publish, wait for what its quality of service promises.

use std::io::{Read, Write};

use super::packet::{self, Answer, Connect, DISCONNECT, Message, MqttError, PACKET_ID};

/// Publishes `message` on a fresh connection and takes leave.
pub(super) fn publish(
    stream: &mut (impl Read + Write),
    who: &Connect<'_>,
    message: &Message<'_>,
) -> Result<(), MqttError> {
    send(stream, &packet::connect(who)?)?;
    match packet::read_answer(stream)? {
        Answer::Connected(0) => {}
        Answer::Connected(code) => return Err(MqttError::Refused(code)),
        other => return Err(out_of_turn(other)),
    }
    send(stream, &packet::publish(message)?)?;
    match message.qos {
        0 => {}
        1 => expect(stream, Answer::Acknowledged(PACKET_ID))?,
        _ => {
            expect(stream, Answer::Received(PACKET_ID))?;
            send(stream, &packet::release())?;
            expect(stream, Answer::Complete(PACKET_ID))?;
        }
    }
    send(stream, &DISCONNECT)
}

fn send(stream: &mut impl Write, bytes: &[u8]) -> Result<(), MqttError> {
    stream.write_all(bytes)?;
    Ok(stream.flush()?)
}

fn expect(stream: &mut impl Read, due: Answer) -> Result<(), MqttError> {
    let answer = packet::read_answer(stream)?;
    match answer == due {
        true => Ok(()),
        false => Err(out_of_turn(answer)),
    }
}

fn out_of_turn(answer: Answer) -> MqttError {
    MqttError::Protocol(format!("it answers out of turn: {answer:?}"))
}
