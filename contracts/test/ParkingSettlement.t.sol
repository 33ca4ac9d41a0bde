// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PausableUpgradeable} from "@openzeppelin/contracts-upgradeable/utils/PausableUpgradeable.sol";
import {DisputeState, ParkingSettlement, Settlement} from "../src/ParkingSettlement.sol";
import {City} from "./support/City.sol";
import {Vm} from "./support/Vm.sol";

contract ParkingSettlementTest is City {
    bytes32 private constant ROOT = keccak256("statement");
    bytes32 private constant CLAIM = keccak256("claim");
    bytes32 private constant DECISION = keccak256("decision");
    bytes20 private constant OWNER = bytes20(uint160(1));
    bytes20 private constant PAYERS = bytes20(uint160(9));

    function setUp() public override {
        super.setUp();
        vm.warp(1_000_000);
    }

    function _head(uint32 part) private pure returns (Settlement memory) {
        return Settlement("north-garages", 20_779, part, 0);
    }

    function _line(uint160 party, int64 net) private pure returns (bytes memory) {
        return abi.encodePacked(party, uint32(3), net, ROOT);
    }

    /// @dev The payers' 1,000 fen split between an owner, an operator and the platform.
    function _records() private pure returns (bytes memory) {
        return abi.encodePacked(_line(1, 600), _line(2, 300), _line(5, 100), _line(9, -1_000));
    }

    function _input(Settlement memory head, bytes memory records) private pure returns (bytes memory) {
        return abi.encodeCall(ParkingSettlement.settle, (head, records));
    }

    function _settle(Settlement memory head, bytes memory records) private returns (bool) {
        vm.prank(SENDER);
        return settlements.settle(head, records);
    }

    function _dispute(bytes32 id, bytes20 party, uint32 line, bytes32 claim) private pure returns (bytes memory) {
        return abi.encodeCall(ParkingSettlement.openDispute, (id, party, line, claim));
    }

    function _open(bytes32 id, uint32 line) private returns (bool) {
        vm.prank(SENDER);
        return settlements.openDispute(id, OWNER, line, CLAIM);
    }

    function _resolve(bytes32 id, uint32 line, bool upheld, bytes32 correction) private returns (bool) {
        vm.prank(GOVERNMENT);
        return settlements.resolveDispute(id, OWNER, line, upheld, DECISION, correction);
    }

    function _resolution(bytes32 id, uint32 line, bool upheld, bytes32 decision, bytes32 correction)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(ParkingSettlement.resolveDispute, (id, OWNER, line, upheld, decision, correction));
    }

    function _refusedBySettlements(bytes memory input, bytes memory refusal) private {
        _refused(address(settlements), SENDER, input, refusal);
    }

    function _settled() private returns (bytes32 id) {
        _settle(_head(0), _records());
        return settlements.settlementIdOf(_head(0));
    }

    function _corrected(bytes32 id) private returns (bytes32) {
        Settlement memory head = _head(1);
        head.corrects = id;
        _settle(head, abi.encodePacked(_line(1, 50), _line(5, -50)));
        return settlements.settlementIdOf(head);
    }

    // ------------------------------------------------------------------------------------ settling

    function test_a_settlement_keeps_every_partys_statement() public {
        require(_settle(_head(0), _records()), "fresh");
        bytes32 id = settlements.settlementIdOf(_head(0));
        ParkingSettlement.SettlementRecord memory found = settlements.settlement(id);
        require(found.content == keccak256(_records()) && found.partyCount == 4 && found.volume == 1_000, "sums");
        require(found.settledAt == 1_000_000 && found.disputableUntil == 1_000_000 + DISPUTE_SECONDS, "times");
        require(found.blockNumber == 77 && found.disputesOpen == 0 && found.corrects == 0, "rest");
        int64[4] memory nets = [int64(600), 300, 100, -1_000];
        uint160[4] memory parties = [uint160(1), 2, 5, 9];
        for (uint256 i = 0; i < 4; ++i) {
            ParkingSettlement.Statement memory ofParty = settlements.statementOf(id, bytes20(parties[i]));
            require(ofParty.net == nets[i] && ofParty.root == ROOT && ofParty.lineCount == 3, "statement");
        }
        require(settlements.statementOf(id, bytes20(uint160(3))).lineCount == 0, "no other party");
    }

    function test_the_id_binds_chain_contract_and_every_field() public {
        bytes32 id = settlements.settlementIdOf(_head(0));
        require(
            id
                == keccak256(
                    abi.encode(bytes32("tanhui-settlement-v1"), block.chainid, address(settlements), _head(0))
                ),
            "as published"
        );
        Settlement[4] memory others = [_head(0), _head(0), _head(1), _head(0)];
        others[0].scope = "south-garages";
        others[1].day = 20_780;
        others[3].corrects = id;
        for (uint256 i = 0; i < 4; ++i) {
            require(settlements.settlementIdOf(others[i]) != id, "another settlement");
        }
        vm.chainId(block.chainid + 1);
        require(settlements.settlementIdOf(_head(0)) != id, "another chain");
    }

    function test_same_settlement_again_changes_nothing() public {
        bytes32 id = _settled();
        vm.warp(2_000_000);
        vm.recordLogs();
        require(!_settle(_head(0), _records()), "again");
        require(vm.getRecordedLogs().length == 0, "a repetition is silent");
        require(settlements.settlement(id).settledAt == 1_000_000, "nothing changed");
    }

    function test_same_id_with_other_records_is_refused() public {
        bytes32 id = _settled();
        bytes memory other = abi.encodePacked(_line(1, 700), _line(9, -700));
        _refusedBySettlements(
            _input(_head(0), other), abi.encodeWithSelector(ParkingSettlement.ParkingSettlementConflict.selector, id)
        );
        require(settlements.statementOf(id, OWNER).net == 600, "nothing changed");
    }

    function test_nets_sum_to_zero() public {
        _refusedBySettlements(
            _input(_head(0), abi.encodePacked(_line(1, 600), _line(9, -599))),
            abi.encodeWithSelector(ParkingSettlement.ParkingSettlementNotZeroSum.selector, int256(1))
        );
        _refusedBySettlements(
            _input(_head(0), _line(1, -1)),
            abi.encodeWithSelector(ParkingSettlement.ParkingSettlementNotZeroSum.selector, int256(-1))
        );
        require(_settle(_head(0), abi.encodePacked(_line(1, 0), _line(9, 0))), "charged and refunded");
    }

    /// @dev Nets wrap nowhere: what sums to zero only modulo 2^64 is refused.
    function test_the_largest_nets_do_not_wrap() public {
        bytes memory wrapping =
            abi.encodePacked(_line(1, type(int64).min), _line(2, type(int64).min));
        _refusedBySettlements(
            _input(_head(0), wrapping),
            abi.encodeWithSelector(ParkingSettlement.ParkingSettlementNotZeroSum.selector, -int256(2 ** 64))
        );
        bytes memory largest =
            abi.encodePacked(_line(1, type(int64).max), _line(2, 1), _line(3, type(int64).min));
        require(_settle(_head(0), largest));
        require(settlements.settlement(settlements.settlementIdOf(_head(0))).volume == 2 ** 63);
    }

    function test_records_have_64_bytes_each_from_1_to_700() public {
        bytes[4] memory wrong =
            [bytes(""), new bytes(63), bytes.concat(_records(), hex"00"), new bytes(701 * 64)];
        for (uint256 i = 0; i < 4; ++i) {
            _refusedBySettlements(
                _input(_head(0), wrong[i]),
                abi.encodeWithSelector(ParkingSettlement.ParkingSettlementRecordsLength.selector, wrong[i].length)
            );
        }
        bytes memory most;
        for (uint160 party = 1; party <= 700; ++party) {
            most = bytes.concat(most, _line(party, party % 2 == 0 ? type(int64).max : -type(int64).max));
        }
        require(_settle(_head(0), most));
        ParkingSettlement.SettlementRecord memory found = settlements.settlement(settlements.settlementIdOf(_head(0)));
        require(found.partyCount == 700 && found.volume == 350 * (2 ** 63 - 1), "700 largest nets");
    }

    function test_parties_strictly_ascend() public {
        bytes[3] memory wrong = [
            abi.encodePacked(_line(1, 5), _line(1, -5)),
            abi.encodePacked(_line(2, 5), _line(1, -5)),
            abi.encodePacked(_line(0, 5), _line(1, -5))
        ];
        for (uint256 i = 0; i < 3; ++i) {
            _refusedBySettlements(
                _input(_head(0), wrong[i]),
                abi.encodeWithSelector(
                    ParkingSettlement.ParkingSettlementPartiesNotAscending.selector, i == 2 ? 0 : 1
                )
            );
        }
    }

    function test_a_statement_has_lines_and_a_root() public {
        bytes memory missing = abi.encodeWithSelector(ParkingSettlement.ParkingSettlementStatementMissing.selector, 1);
        bytes memory noLines = abi.encodePacked(uint160(9), uint32(0), int64(-5), ROOT);
        _refusedBySettlements(_input(_head(0), bytes.concat(_line(1, 5), noLines)), missing);
        bytes memory noRoot = abi.encodePacked(uint160(9), uint32(1), int64(-5), bytes32(0));
        _refusedBySettlements(_input(_head(0), bytes.concat(_line(1, 5), noRoot)), missing);
    }

    function test_a_settlement_has_a_scope_and_corrects_a_known_one() public {
        Settlement memory head = _head(0);
        head.scope = 0;
        _refusedBySettlements(
            _input(head, _records()), _named(ParkingSettlement.ParkingSettlementScopeMissing.selector)
        );
        head = _head(1);
        head.corrects = keccak256("unknown");
        _refusedBySettlements(
            _input(head, _records()),
            abi.encodeWithSelector(ParkingSettlement.ParkingSettlementUnknown.selector, head.corrects)
        );
        bytes32 id = _settled();
        require(settlements.settlement(_corrected(id)).corrects == id);
    }

    // ------------------------------------------------------------------------------------ disputes

    function test_a_dispute_is_rejected_or_upheld_with_a_correction() public {
        bytes32 id = _settled();
        require(_open(id, 0) && _open(id, 2), "fresh");
        require(settlements.settlement(id).disputesOpen == 2 && settlements.statementOf(id, OWNER).disputesOpen == 2);
        vm.warp(1_000_100);
        require(_resolve(id, 0, false, 0), "rejected");
        bytes32 correction = _corrected(id);
        require(_resolve(id, 2, true, correction), "upheld");
        require(settlements.settlement(id).disputesOpen == 0 && settlements.statementOf(id, OWNER).disputesOpen == 0);
        ParkingSettlement.Dispute memory found = settlements.disputeOf(id, OWNER, 0);
        require(found.state == DisputeState.Rejected && found.claim == CLAIM && found.decision == DECISION);
        require(found.openedAt == 1_000_000 && found.resolvedAt == 1_000_100 && found.correction == 0);
        found = settlements.disputeOf(id, OWNER, 2);
        require(found.state == DisputeState.Upheld && found.correction == correction);
        require(settlements.disputeOf(id, OWNER, 1).state == DisputeState.None, "the line between is not disputed");
    }

    function test_the_same_dispute_and_decision_again_change_nothing() public {
        bytes32 id = _settled();
        _open(id, 0);
        vm.recordLogs();
        require(!_open(id, 0), "open again");
        _refusedBySettlements(
            _dispute(id, OWNER, 0, DECISION),
            abi.encodeWithSelector(ParkingSettlement.ParkingSettlementAlreadyDisputed.selector, id, OWNER, 0)
        );
        require(vm.getRecordedLogs().length == 0, "a repetition is silent");
        _resolve(id, 0, false, 0);
        vm.recordLogs();
        require(!_resolve(id, 0, false, 0) && !_open(id, 0), "decided again, opened again");
        require(vm.getRecordedLogs().length == 0, "a repetition is silent");
        require(settlements.settlement(id).disputesOpen == 0, "nothing reopened");
        bytes32 correction = _corrected(id);
        bytes[4] memory others = [
            _resolution(id, 0, true, DECISION, correction),
            _resolution(id, 0, true, DECISION, 0),
            _resolution(id, 0, false, CLAIM, 0),
            _resolution(id, 0, false, DECISION, correction)
        ];
        for (uint256 i = 0; i < 4; ++i) {
            _refused(
                address(settlements),
                GOVERNMENT,
                others[i],
                abi.encodeWithSelector(ParkingSettlement.ParkingSettlementAlreadyResolved.selector, id, OWNER, 0)
            );
        }
    }

    function test_the_window_closes() public {
        bytes32 id = _settled();
        vm.warp(1_000_000 + DISPUTE_SECONDS - 1);
        require(_open(id, 0), "last second");
        require(!settlements.isFinal(id), "the window is open");
        vm.warp(1_000_000 + DISPUTE_SECONDS);
        require(!settlements.isFinal(id), "a dispute is open");
        _refusedBySettlements(
            _dispute(id, OWNER, 1, CLAIM),
            abi.encodeWithSelector(
                ParkingSettlement.ParkingSettlementDisputeWindowClosed.selector, id, 1_000_000 + DISPUTE_SECONDS
            )
        );
        require(!_open(id, 0), "what was opened in time may be sent again");
        _resolve(id, 0, false, 0);
        require(settlements.isFinal(id), "decided after the window");
        require(!settlements.isFinal(keccak256("unknown")), "what is unknown is not final");
    }

    function test_a_settlement_without_disputes_is_final_when_the_window_closes() public {
        bytes32 id = _settled();
        vm.warp(1_000_000 + DISPUTE_SECONDS - 1);
        require(!settlements.isFinal(id));
        vm.warp(1_000_000 + DISPUTE_SECONDS);
        require(settlements.isFinal(id));
    }

    function test_only_lines_of_a_statement_are_disputed() public {
        bytes32 id = _settled();
        require(_open(id, 2), "the last line");
        bytes20 stranger = bytes20(uint160(3));
        _refusedBySettlements(
            _dispute(id, OWNER, 3, CLAIM),
            abi.encodeWithSelector(ParkingSettlement.ParkingSettlementLineUnknown.selector, id, OWNER, 3)
        );
        _refusedBySettlements(
            _dispute(id, stranger, 0, CLAIM),
            abi.encodeWithSelector(ParkingSettlement.ParkingSettlementLineUnknown.selector, id, stranger, 0)
        );
        _refusedBySettlements(
            _dispute(id, OWNER, 0, 0), _named(ParkingSettlement.ParkingSettlementDigestMissing.selector)
        );
    }

    function test_only_open_disputes_are_decided() public {
        bytes32 id = _settled();
        _refused(
            address(settlements),
            GOVERNMENT,
            _resolution(id, 0, false, DECISION, 0),
            abi.encodeWithSelector(ParkingSettlement.ParkingSettlementNotDisputed.selector, id, OWNER, 0)
        );
        _open(id, 0);
        _refused(
            address(settlements),
            GOVERNMENT,
            _resolution(id, 0, false, 0, 0),
            _named(ParkingSettlement.ParkingSettlementDigestMissing.selector)
        );
    }

    function test_a_correction_belongs_to_an_upheld_dispute_of_that_settlement() public {
        bytes32 id = _settled();
        _settle(_head(7), _records());
        bytes32 unrelated = settlements.settlementIdOf(_head(7));
        bytes32 correction = _corrected(id);
        _open(id, 0);
        bytes32[4] memory wrong = [bytes32(0), id, unrelated, keccak256("unknown")];
        for (uint256 i = 0; i < 4; ++i) {
            _refused(
                address(settlements),
                GOVERNMENT,
                _resolution(id, 0, true, DECISION, wrong[i]),
                abi.encodeWithSelector(
                    ParkingSettlement.ParkingSettlementCorrectionMismatch.selector, id, wrong[i]
                )
            );
        }
        _refused(
            address(settlements),
            GOVERNMENT,
            _resolution(id, 0, false, DECISION, correction),
            abi.encodeWithSelector(ParkingSettlement.ParkingSettlementCorrectionMismatch.selector, id, correction)
        );
        require(settlements.disputeOf(id, OWNER, 0).state == DisputeState.Open, "still open");
    }

    function test_another_window_is_for_later_settlements() public {
        bytes32 id = _settled();
        vm.prank(GOVERNMENT);
        settlements.setDisputeWindow(60);
        require(settlements.disputeWindowSeconds() == 60);
        _settle(_head(1), _records());
        require(settlements.settlement(id).disputableUntil == 1_000_000 + DISPUTE_SECONDS, "earlier");
        require(
            settlements.settlement(settlements.settlementIdOf(_head(1))).disputableUntil == 1_000_060, "later"
        );
        _refused(
            address(settlements),
            GOVERNMENT,
            abi.encodeCall(ParkingSettlement.setDisputeWindow, (0)),
            _named(ParkingSettlement.ParkingSettlementWindowMissing.selector)
        );
    }

    function test_nothing_is_settled_disputed_or_decided_while_paused() public {
        bytes32 id = _settled();
        _open(id, 0);
        vm.prank(AUDITOR);
        settlements.pause();
        bytes memory paused = _named(PausableUpgradeable.EnforcedPause.selector);
        _refusedBySettlements(_input(_head(1), _records()), paused);
        _refusedBySettlements(_dispute(id, OWNER, 1, CLAIM), paused);
        _refused(address(settlements), GOVERNMENT, _resolution(id, 0, false, DECISION, 0), paused);
        vm.prank(AUDITOR);
        settlements.unpause();
        require(_settle(_head(1), _records()) && _resolve(id, 0, false, 0));
    }

    // ------------------------------------------------------------------------------------ events

    function _requireEvent(bytes32[4] memory topics, bytes memory data) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        require(logs.length == 1 && keccak256(logs[0].data) == keccak256(data), "one event with these data");
        for (uint256 i = 0; i < logs[0].topics.length; ++i) {
            require(logs[0].topics[i] == topics[i], "topic differs");
        }
    }

    function test_every_act_is_announced() public {
        vm.recordLogs();
        bytes32 id = _settled();
        bytes32 day = bytes32(uint256(20_779));
        _requireEvent(
            [ParkingSettlement.ChargesSettled.selector, id, "north-garages", day], abi.encode(0, bytes32(0), 4, 1_000)
        );
        bytes32 correction = _corrected(id);
        _requireEvent(
            [ParkingSettlement.ChargesSettled.selector, correction, "north-garages", day], abi.encode(1, id, 2, 50)
        );
        bytes32 line = bytes32(uint256(2));
        _open(id, 2);
        _requireEvent(
            [ParkingSettlement.DisputeOpened.selector, id, bytes32(OWNER), line], abi.encode(CLAIM)
        );
        _resolve(id, 2, true, correction);
        _requireEvent(
            [ParkingSettlement.DisputeResolved.selector, id, bytes32(OWNER), line],
            abi.encode(DisputeState.Upheld, DECISION, correction)
        );
        vm.prank(GOVERNMENT);
        settlements.setDisputeWindow(60);
        _requireEvent(
            [ParkingSettlement.DisputeWindowSet.selector, bytes32(0), 0, 0], abi.encode(60, DISPUTE_SECONDS)
        );
    }

    // ------------------------------------------------------------------------------------ any records

    /// @dev Whatever the nets are, a settlement is taken exactly if they sum to zero, and then says so.
    function testFuzz_a_settlement_is_taken_iff_it_sums_to_zero(int64[6] memory nets, bool balanced) public {
        int256 sum;
        for (uint256 i = 0; i < 5; ++i) {
            sum += nets[i];
        }
        if (balanced && -sum >= type(int64).min && -sum <= type(int64).max) nets[5] = int64(-sum);
        sum += nets[5];
        bytes memory records;
        uint256 volume;
        for (uint160 i = 0; i < 6; ++i) {
            records = bytes.concat(records, _line(i + 1, nets[i]));
            if (nets[i] > 0) volume += uint64(nets[i]);
        }
        vm.prank(SENDER);
        (bool ok,) = address(settlements).call(_input(_head(0), records));
        require(ok == (sum == 0), "taken iff zero");
        bytes32 id = settlements.settlementIdOf(_head(0));
        require(settlements.settlement(id).volume == (ok ? volume : 0), "volume");
        for (uint160 i = 0; i < 6; ++i) {
            require(settlements.statementOf(id, bytes20(i + 1)).net == (ok ? nets[i] : int64(0)), "net");
        }
    }

    /// @dev No record of arbitrary bytes is half taken.
    function testFuzz_arbitrary_records_leave_all_or_nothing(bytes32[8] memory words) public {
        vm.prank(SENDER);
        (bool ok,) = address(settlements).call(_input(_head(0), abi.encodePacked(words)));
        bytes32 id = settlements.settlementIdOf(_head(0));
        for (uint256 i = 0; i < 8; i += 2) {
            bytes32 root = settlements.statementOf(id, bytes20(words[i])).root;
            require(root == (ok ? words[i + 1] : bytes32(0)));
        }
    }

    function testFuzz_every_field_of_the_head_is_in_the_id(uint8 field, uint32 value) public view {
        Settlement memory a = _head(0);
        Settlement memory b = _head(0);
        field %= 4;
        if (field == 0) b.scope = bytes32(uint256(value));
        if (field == 1) b.day = value;
        if (field == 2) b.part = value;
        if (field == 3) b.corrects = bytes32(uint256(value));
        bool same = keccak256(abi.encode(a)) == keccak256(abi.encode(b));
        require((settlements.settlementIdOf(a) == settlements.settlementIdOf(b)) == same);
    }
}
