// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {PausableUpgradeable} from "@openzeppelin/contracts-upgradeable/utils/PausableUpgradeable.sol";
import {EvidenceAnchor} from "../src/EvidenceAnchor.sol";
import {Governed} from "../src/Governed.sol";
import {Relay} from "./CarbonPoints.t.sol";
import {City} from "./support/City.sol";

contract EvidenceAnchorTest is City {
    bytes32 private constant ROOT_5 = keccak256("five");
    bytes32 private constant ROOT_9 = keccak256("nine");

    function _input(uint64 size, bytes32 root, bytes32 prevRoot) private pure returns (bytes memory) {
        return abi.encodeCall(EvidenceAnchor.anchor, (size, root, prevRoot));
    }

    function _anchor(uint64 size, bytes32 root, bytes32 prevRoot) private {
        vm.prank(SENDER, SENDER);
        anchors.anchor(size, root, prevRoot);
    }

    function _refusedByAnchor(bytes memory input, bytes memory refusal) private {
        _refused(address(anchors), SENDER, input, refusal);
    }

    function test_roots_are_kept_by_size() public {
        (uint64 size, bytes32 root) = anchors.latest();
        require(size == 0 && root == 0 && anchors.rootOf(0) == 0, "empty");
        _anchor(5, ROOT_5, 0);
        _anchor(9, ROOT_9, ROOT_5);
        require(anchors.rootOf(5) == ROOT_5 && anchors.rootOf(9) == ROOT_9 && anchors.rootOf(6) == 0, "roots");
        (size, root) = anchors.latest();
        require(size == 9 && root == ROOT_9, "latest");
    }

    function test_size_grows() public {
        _refusedByAnchor(
            _input(0, ROOT_5, 0), abi.encodeWithSelector(EvidenceAnchor.EvidenceAnchorSizeNotGrown.selector, 0, 0)
        );
        _anchor(5, ROOT_5, 0);
        for (uint64 size = 4; size <= 5; ++size) {
            _refusedByAnchor(
                _input(size, ROOT_9, ROOT_5),
                abi.encodeWithSelector(EvidenceAnchor.EvidenceAnchorSizeNotGrown.selector, size, 5)
            );
        }
        require(anchors.rootOf(5) == ROOT_5);
    }

    function test_previous_root_must_be_the_latest() public {
        _refusedByAnchor(
            _input(5, ROOT_5, ROOT_9),
            abi.encodeWithSelector(EvidenceAnchor.EvidenceAnchorPreviousRootDiffers.selector, ROOT_9, 0)
        );
        _anchor(5, ROOT_5, 0);
        _refusedByAnchor(
            _input(9, ROOT_9, 0),
            abi.encodeWithSelector(EvidenceAnchor.EvidenceAnchorPreviousRootDiffers.selector, 0, ROOT_5)
        );
    }

    function test_root_must_not_be_zero() public {
        _refusedByAnchor(_input(5, 0, 0), _named(EvidenceAnchor.EvidenceAnchorRootMissing.selector));
    }

    function test_only_a_chain_sender_anchors() public {
        _refused(
            address(anchors),
            STRANGER,
            _input(5, ROOT_5, 0),
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, STRANGER, anchors.CHAIN_SENDER()
            )
        );
    }

    function test_nothing_is_anchored_while_paused() public {
        vm.prank(AUDITOR);
        anchors.pause();
        _refusedByAnchor(_input(5, ROOT_5, 0), _named(PausableUpgradeable.EnforcedPause.selector));
        vm.prank(AUDITOR);
        anchors.unpause();
        _anchor(5, ROOT_5, 0);
    }

    function test_an_anchor_through_another_contract_is_refused() public {
        Relay relay = new Relay();
        bytes32 role = anchors.CHAIN_SENDER();
        vm.prank(ADMIN);
        anchors.grantRole(role, address(relay));
        _refused(
            address(relay),
            SENDER,
            abi.encodeCall(Relay.relay, (address(anchors), _input(5, ROOT_5, 0))),
            abi.encodeWithSelector(Governed.GovernedIndirectCall.selector, address(relay))
        );
    }

    function testFuzz_any_history_is_a_growing_chain(uint64[8] memory sizes) public {
        (uint64 latest, bytes32 root) = (0, 0);
        for (uint256 i = 0; i < sizes.length; ++i) {
            bytes32 next = keccak256(abi.encode(sizes[i], i));
            vm.prank(SENDER, SENDER);
            (bool ok,) = address(anchors).call(_input(sizes[i], next, root));
            require(ok == (sizes[i] > latest), "accepted iff it grows");
            if (ok) (latest, root) = (sizes[i], next);
            (uint64 size, bytes32 now_) = anchors.latest();
            require(size == latest && now_ == root);
        }
    }
}
