// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {PausableUpgradeable} from "@openzeppelin/contracts-upgradeable/utils/PausableUpgradeable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Enactment} from "../src/IRuleRegistry.sol";
import {RuleRegistry} from "../src/RuleRegistry.sol";
import {City} from "./support/City.sol";

contract RuleRegistryTest is City {
    uint256 private constant CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function _new() private pure returns (Enactment memory made) {
        made = _enactment();
        made.version = 2;
    }

    function _enactInput(Enactment memory enactment, bytes memory a, bytes memory b)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(RuleRegistry.enact, (enactment, a, b));
    }

    function _refusedByRegistry(bytes memory input, bytes memory refusal) private {
        _refused(address(registry), STRANGER, input, refusal);
    }

    function _requireEnacted(Enactment memory e) private view {
        (bytes32 digest, uint32 dayFrom, uint32 dayTo) = registry.enacted(e.what, e.id, e.version);
        require(digest == e.digest && dayFrom == e.dayFrom && dayTo == e.dayTo, "enacted differs");
    }

    // ------------------------------------------------------------------------------------ enact

    function test_two_approvers_enact_in_either_order() public {
        require(_enact(_new()));
        _requireEnacted(_new());
        Enactment memory method = _new();
        (method.what, method.dayTo) = (2, OPEN);
        require(registry.enact(method, _signed(KEY_B, method), _signed(KEY_A, method)));
        _requireEnacted(method);
        (uint32 dayToEnacted, uint32 blockNumber) = registry.enactedFirst(2, method.id, 2);
        require(dayToEnacted == OPEN && blockNumber == 77);
    }

    function test_unknown_versions_read_as_zeros() public view {
        (bytes32 digest, uint32 dayFrom, uint32 dayTo) = registry.enacted(1, RULE, 9);
        require(digest == 0 && dayFrom == 0 && dayTo == 0);
    }

    function test_same_enactment_again_changes_nothing_even_after_a_stop() public {
        require(!_enact(_enactment()));
        Enactment memory stop = _enactment();
        stop.dayTo = WINDOW_FROM + 5;
        require(registry.stop(stop, _signed(KEY_A, stop), _signed(KEY_B, stop)));
        require(!_enact(_enactment()));
        _requireEnacted(stop);
    }

    function test_a_version_is_never_overwritten() public {
        bytes memory exists = abi.encodeWithSelector(RuleRegistry.RuleRegistryVersionExists.selector, 1, RULE, 1);
        for (uint256 field = 0; field < 4; ++field) {
            Enactment memory other = _enactment();
            if (field == 0) other.digest = keccak256("other");
            if (field == 1) other.dayFrom += 1;
            if (field == 2) other.dayTo += 1;
            if (field == 3) other.dayTo -= 1;
            _refusedByRegistry(_enactInput(other, _signed(KEY_A, other), _signed(KEY_B, other)), exists);
        }
        _requireEnacted(_enactment());
    }

    function test_incomplete_enactments_are_refused() public {
        for (uint256 field = 0; field < 5; ++field) {
            Enactment memory bad = _new();
            if (field == 0) bad.what = 0;
            if (field == 1) bad.what = 3;
            if (field == 2) bad.id = 0;
            if (field == 3) bad.version = 0;
            if (field == 4) bad.digest = 0;
            _refusedByRegistry(
                _enactInput(bad, _signed(KEY_A, bad), _signed(KEY_B, bad)),
                _named(RuleRegistry.RuleRegistryEnactmentInvalid.selector)
            );
        }
    }

    function test_window_must_not_be_empty() public {
        Enactment memory bad = _new();
        bad.dayTo = bad.dayFrom;
        bytes memory a = _signed(KEY_A, bad);
        bytes memory b = _signed(KEY_B, bad);
        bytes memory empty = abi.encodeWithSelector(
            RuleRegistry.RuleRegistryWindowEmpty.selector, WINDOW_FROM, WINDOW_FROM
        );
        _refusedByRegistry(_enactInput(bad, a, b), empty);
        bad.version = 1;
        _refusedByRegistry(
            abi.encodeCall(RuleRegistry.stop, (bad, _signed(KEY_A, bad), _signed(KEY_B, bad))), empty
        );
    }

    // ------------------------------------------------------------------------------------ signatures

    function test_one_approver_twice_is_refused() public {
        Enactment memory e = _new();
        _refusedByRegistry(
            _enactInput(e, _signed(KEY_A, e), _signed(KEY_A, e)),
            abi.encodeWithSelector(RuleRegistry.RuleRegistryApproversNotDistinct.selector, vm.addr(KEY_A))
        );
    }

    function test_a_stranger_does_not_approve() public {
        Enactment memory e = _new();
        bytes memory refusal =
            abi.encodeWithSelector(RuleRegistry.RuleRegistryNotAnApprover.selector, vm.addr(KEY_STRANGER));
        _refusedByRegistry(_enactInput(e, _signed(KEY_A, e), _signed(KEY_STRANGER, e)), refusal);
        _refusedByRegistry(_enactInput(e, _signed(KEY_STRANGER, e), _signed(KEY_B, e)), refusal);
    }

    function test_a_signature_over_anything_else_does_not_count() public {
        Enactment memory e = _new();
        bytes memory a = _signed(KEY_A, e);
        for (uint256 field = 0; field < 6; ++field) {
            Enactment memory other = _new();
            if (field == 0) other.what = 2;
            if (field == 1) other.id = "other";
            if (field == 2) other.version = 3;
            if (field == 3) other.digest = keccak256("other");
            if (field == 4) other.dayFrom += 1;
            if (field == 5) other.dayTo += 1;
            (bool ok,) = address(registry).call(_enactInput(e, a, _signed(KEY_B, other)));
            require(!ok, "other content");
        }
        bytes memory b = _signed(KEY_B, e);
        vm.chainId(999);
        (bool elsewhere,) = address(registry).call(_enactInput(e, a, b));
        require(!elsewhere, "other chain");
    }

    function test_the_malleable_twin_of_a_signature_is_refused() public {
        Enactment memory e = _new();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY_B, registry.hashEnactment(e));
        bytes32 highS = bytes32(CURVE_ORDER - uint256(s));
        bytes memory twin = abi.encodePacked(r, highS, v == 27 ? uint8(28) : uint8(27));
        _refusedByRegistry(
            _enactInput(e, _signed(KEY_A, e), twin),
            abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, highS)
        );
    }

    function test_signatures_have_65_bytes_and_recover() public {
        Enactment memory e = _new();
        bytes memory a = _signed(KEY_A, e);
        _refusedByRegistry(
            _enactInput(e, a, new bytes(64)),
            abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureLength.selector, 64)
        );
        _refusedByRegistry(
            _enactInput(e, a, new bytes(65)), abi.encodeWithSelector(ECDSA.ECDSAInvalidSignature.selector)
        );
    }

    function test_a_removed_approver_no_longer_approves() public {
        address b = vm.addr(KEY_B);
        vm.prank(GOVERNMENT);
        registry.removeApprover(b);
        require(!registry.isApprover(b));
        Enactment memory e = _new();
        _refusedByRegistry(
            _enactInput(e, _signed(KEY_A, e), _signed(KEY_B, e)),
            abi.encodeWithSelector(RuleRegistry.RuleRegistryNotAnApprover.selector, b)
        );
        vm.prank(GOVERNMENT);
        registry.registerApprover(b);
        require(registry.isApprover(b) && _enact(e));
    }

    function test_only_government_names_approvers() public {
        bytes memory refusal = abi.encodeWithSelector(
            IAccessControl.AccessControlUnauthorizedAccount.selector, STRANGER, registry.GOVERNMENT()
        );
        _refusedByRegistry(abi.encodeCall(RuleRegistry.registerApprover, (STRANGER)), refusal);
        _refusedByRegistry(abi.encodeCall(RuleRegistry.removeApprover, (vm.addr(KEY_A))), refusal);
        _refused(
            address(registry),
            GOVERNMENT,
            abi.encodeCall(RuleRegistry.registerApprover, (address(0))),
            _named(RuleRegistry.RuleRegistryApproverMissing.selector)
        );
    }

    function test_typed_data_is_the_published_one() public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Tanhui RuleRegistry"),
                keccak256("1"),
                block.chainid,
                address(registry)
            )
        );
        Enactment memory e = _new();
        bytes32 typeHash = keccak256(
            "Enactment(uint8 what,bytes32 id,uint32 version,bytes32 digest,uint32 dayFrom,uint32 dayTo)"
        );
        bytes32 content =
            keccak256(abi.encode(typeHash, e.what, e.id, e.version, e.digest, e.dayFrom, e.dayTo));
        require(registry.hashEnactment(e) == keccak256(abi.encodePacked(hex"1901", domain, content)));
    }

    // ------------------------------------------------------------------------------------ stop

    function test_a_stop_lowers_the_end_only() public {
        Enactment memory stop = _enactment();
        stop.dayTo = WINDOW_FROM + 5;
        require(registry.stop(stop, _signed(KEY_A, stop), _signed(KEY_B, stop)));
        _requireEnacted(stop);
        require(!registry.stop(stop, _signed(KEY_A, stop), _signed(KEY_B, stop)), "again");
        Enactment memory later = _enactment();
        later.dayTo = WINDOW_FROM + 6;
        _refusedByRegistry(
            abi.encodeCall(RuleRegistry.stop, (later, _signed(KEY_A, later), _signed(KEY_B, later))),
            abi.encodeWithSelector(
                RuleRegistry.RuleRegistryStopNotEarlier.selector, WINDOW_FROM + 6, WINDOW_FROM + 5
            )
        );
        (uint32 dayToEnacted,) = registry.enactedFirst(1, RULE, 1);
        require(dayToEnacted == WINDOW_TO);
    }

    function test_a_stop_names_a_known_version() public {
        for (uint256 field = 0; field < 3; ++field) {
            Enactment memory stop = _enactment();
            stop.dayTo -= 1;
            if (field == 0) stop.version = 2;
            if (field == 1) stop.digest = keccak256("other");
            if (field == 2) stop.dayFrom += 1;
            _refusedByRegistry(
                abi.encodeCall(RuleRegistry.stop, (stop, _signed(KEY_A, stop), _signed(KEY_B, stop))),
                abi.encodeWithSelector(
                    RuleRegistry.RuleRegistryVersionUnknown.selector, 1, RULE, stop.version
                )
            );
        }
    }

    function test_a_stop_needs_two_approvers() public {
        Enactment memory stop = _enactment();
        stop.dayTo -= 1;
        _refusedByRegistry(
            abi.encodeCall(RuleRegistry.stop, (stop, _signed(KEY_A, stop), _signed(KEY_A, stop))),
            abi.encodeWithSelector(RuleRegistry.RuleRegistryApproversNotDistinct.selector, vm.addr(KEY_A))
        );
        _requireEnacted(_enactment());
    }

    function test_nothing_is_enacted_or_stopped_while_paused() public {
        vm.prank(AUDITOR);
        registry.pause();
        bytes memory paused = _named(PausableUpgradeable.EnforcedPause.selector);
        Enactment memory e = _new();
        _refusedByRegistry(_enactInput(e, _signed(KEY_A, e), _signed(KEY_B, e)), paused);
        e = _enactment();
        e.dayTo -= 1;
        _refusedByRegistry(abi.encodeCall(RuleRegistry.stop, (e, _signed(KEY_A, e), _signed(KEY_B, e))), paused);
    }

    function testFuzz_windows_only_shrink(uint32 first, uint32 second) public {
        Enactment memory stop = _enactment();
        uint32 end = WINDOW_TO;
        for (uint256 i = 0; i < 2; ++i) {
            stop.dayTo = WINDOW_FROM + 1 + (i == 0 ? first : second) % 2_000;
            (bool ok, bytes memory answer) = address(registry).call(
                abi.encodeCall(RuleRegistry.stop, (stop, _signed(KEY_A, stop), _signed(KEY_B, stop)))
            );
            require(ok == (stop.dayTo <= end), "accepted iff not later");
            require(!ok || abi.decode(answer, (bool)) == (stop.dayTo < end), "fresh iff earlier");
            if (stop.dayTo < end) end = stop.dayTo;
            (,, uint32 dayTo) = registry.enacted(1, RULE, 1);
            require(dayTo == end);
        }
    }
}
