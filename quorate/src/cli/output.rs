//! Printing: results, complaints, and proofs in words.

use app_examples::ledger::{Outcome, code_name};
use bft_core::receipt::{ProvenReceipt, Receipt, code};
use crypto::{Certificate, Digest};
use std::fmt::Write as _;
use std::io::Write as _;

/// A result. A reader that went away (`| head`) is not an error.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush());
}

/// For people, beside the result.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
}

/// An error and what caused it. A cause that its effect quotes already is not said twice.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut text, cause| {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            // Writing to a string does not fail.
            let _ = write!(text, ": {cause}");
        }
        text
    })
}

/// The name of a receipt's code.
pub(crate) fn code_in_words(number: u32) -> &'static str {
    match number {
        code::OK => "executed",
        code::NOT_ENROLLED => "client not enrolled",
        code::STALE => "stale sequence",
        code::TOO_FAR_AHEAD => "sequence too far ahead",
        code::MALFORMED => "malformed system transaction",
        code::NOT_OPERATOR => "not an operator",
        code::ALREADY_ENROLLED => "enrolled already",
        code::TOO_LONG => "answer too long for a receipt",
        other => code_name(other).unwrap_or("a code that this program does not know"),
    }
}

/// What the receipt says beside its code: the application's answer, or why it refused.
pub(crate) fn answer_in_words(receipt: &Receipt) -> String {
    if receipt.code != code::OK {
        // Replicas write sentences; a proof shows that they did. Escaped, so that no terminal obeys one.
        return String::from_utf8_lossy(&receipt.answer).escape_debug().to_string();
    }
    match Outcome::decode(&receipt.answer) {
        _ if receipt.answer.is_empty() => "done".to_owned(),
        Ok(outcome) => outcome.to_string(),
        Err(_) => format!("{} bytes: {}", receipt.answer.len(), super::hexadecimal::encode(&receipt.answer)),
    }
}

/// A proof that was verified, line by line.
pub(crate) fn proof_in_words(proven: &ProvenReceipt) -> String {
    let ProvenReceipt { receipt, index, count, path, entries, certificate } = proven;
    let scheme = match &certificate.proof {
        None => "none: height 0".to_owned(),
        Some(Certificate::Threshold(point)) => {
            format!("threshold signature {}… of one group key", super::hexadecimal::encode(&point[..12]))
        }
        Some(Certificate::Named(names)) => {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            format!("none: the word of {}, and trust in the operator", names.join(", "))
        }
        Some(Certificate::Ed25519(list)) => {
            let signers: Vec<String> = list.iter().map(|(replica, _)| replica.to_string()).collect();
            let first = list.first().map(|(_, signature)| super::hexadecimal::encode(&signature.0[..12]));
            format!("Ed25519 signatures of {} ({}…)", signers.join(", "), first.unwrap_or_default())
        }
    };
    let lines = [
        ("transaction", receipt.transaction.to_string()),
        ("code", format!("{} ({})", receipt.code, code_in_words(receipt.code))),
        ("answer", answer_in_words(receipt)),
        ("height", format!("{} (place {} of {count})", proven.height(), index + 1)),
        (
            "proof",
            format!(
                "path of {} digests, {} ledger entries up to height {}",
                path.len(),
                entries.len(),
                certificate.height()
            ),
        ),
        ("certificate", scheme),
    ];
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "  {name:<12} {value}");
        text
    })
}

/// Enough of a digest to tell it from others.
pub(crate) fn short(digest: &Digest) -> String {
    super::hexadecimal::encode(&digest.0[..6])
}

/// How to print.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}
