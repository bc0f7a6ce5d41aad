//! The error codes of the Cloud API: what they mean, and whether trying again helps.

use super::Verdict;
use crate::domain::message::MAX_ATTEMPTS;

/// What follows from a code. `transient`: the channel, or HTTP, says that it may pass; it counts
/// only for codes that are not in the table.
pub(crate) fn verdict(code: i64, transient: bool) -> Verdict {
    match code {
        0 | 3 | 10 | 33 | 190 | 200..=299 => Verdict::StopChannel,
        368 | 130_497 | 131_031 | 131_037 | 131_042 | 131_045 | 131_048 | 131_064 => {
            Verdict::StopChannel
        }
        1 => Verdict::Retry { attempts: 2 },
        131_000 => Verdict::Retry { attempts: 3 },
        2 | 131_016 | 131_057 => Verdict::Retry { attempts: MAX_ATTEMPTS },
        4 | 80_007 | 130_429 => Verdict::SlowDown,
        131_056 => Verdict::Pair,
        132_001 | 132_015 => Verdict::StopTemplate,
        _ if !is_known_final(code) && transient => Verdict::Retry { attempts: MAX_ATTEMPTS },
        _ => Verdict::Final,
    }
}

fn is_known_final(code: i64) -> bool {
    matches!(
        code,
        100 | 130_403
            | 130_472
            | 131_005
            | 131_008
            | 131_009
            | 131_021
            | 131_026
            | 131_030
            | 131_047
            | 131_049..=131_051
            | 131_053
            | 132_000..=132_999
            | 133_016
            | 135_000
    )
}

/// A stable reason for a code, and what a person can do about it.
pub(crate) fn meaning(code: i64) -> (&'static str, &'static str) {
    match code {
        0 | 190 => ("TOKEN_INVALID", "put a valid access token into Settings → Integrations"),
        3 | 10 | 200..=299 | 131_005 => {
            ("PERMISSION_MISSING", "give the access token the permission to send messages")
        }
        33 => ("PHONE_NUMBER_ID_WRONG", "check the phone number id in Settings → Integrations"),
        2 | 131_000 | 131_016 | 131_057 => {
            ("CHANNEL_UNAVAILABLE", "nothing to do, it is tried again by itself")
        }
        4 | 80_007 | 130_429 | 131_056 => {
            ("RATE_LIMITED", "nothing to do, it is tried again by itself")
        }
        368 | 131_031 | 130_497 => {
            ("ACCOUNT_RESTRICTED", "see the account's policy notices at WhatsApp")
        }
        131_048 | 131_064 => ("ACCOUNT_LIMITED", "see the account's quality rating at WhatsApp"),
        131_037 | 131_042 | 131_045 => {
            ("ACCOUNT_SETUP", "finish display name, payment and registration at WhatsApp")
        }
        100 | 131_026 | 131_021 => (
            "UNDELIVERABLE",
            "reach the customer another way, the number takes no WhatsApp message",
        ),
        131_030 => ("NOT_ALLOWED_IN_TEST", "add the number to the test number's allow list"),
        130_403 => ("BLOCKED_BY_CUSTOMER", "reach the customer another way"),
        131_050 => ("OPTED_OUT", "the customer stopped messages, do not write again"),
        131_049 | 130_472 => ("WITHHELD", "WhatsApp withholds it from this customer"),
        132_000 | 132_005 | 132_012 | 132_018 | 131_008 | 131_009 => {
            ("TEMPLATE_MISMATCH", "make the template's variables equal to those at WhatsApp")
        }
        132_001 => {
            ("TEMPLATE_NOT_APPROVED", "have the template approved at WhatsApp in this language")
        }
        132_007 => ("TEMPLATE_POLICY", "change the template's words as WhatsApp's policy asks"),
        132_015 | 132_016 => {
            ("TEMPLATE_PAUSED", "see the template's quality at WhatsApp and have it resumed")
        }
        _ => ("REFUSED_BY_CHANNEL", "look the code up at WhatsApp"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_contract_has_its_verdict() {
        let stop = [0, 3, 10, 33, 190, 200, 299, 368, 131_031, 130_497, 131_048, 131_064, 131_042];
        for code in stop {
            assert_eq!(verdict(code, true), Verdict::StopChannel, "{code}");
        }
        for code in [2, 131_016, 131_057] {
            assert_eq!(verdict(code, false), Verdict::Retry { attempts: MAX_ATTEMPTS }, "{code}");
        }
        for code in [4, 80_007, 130_429] {
            assert_eq!(verdict(code, false), Verdict::SlowDown, "{code}");
        }
        let never = [
            100, 130_403, 130_472, 131_005, 131_008, 131_009, 131_021, 131_026, 131_030, 131_047,
            131_049, 131_050, 131_051, 131_053, 132_000, 132_005, 132_007, 132_016, 133_016,
            135_000,
        ];
        for code in never {
            assert_eq!(verdict(code, true), Verdict::Final, "{code}");
        }
        assert_eq!(verdict(131_056, false), Verdict::Pair);
        assert_eq!(verdict(132_001, false), Verdict::StopTemplate);
        assert_eq!(verdict(132_015, false), Verdict::StopTemplate);
        assert_eq!(verdict(1, false), Verdict::Retry { attempts: 2 });
        assert_eq!(verdict(777, false), Verdict::Final);
        assert_eq!(verdict(777, true), Verdict::Retry { attempts: MAX_ATTEMPTS });
    }
}
