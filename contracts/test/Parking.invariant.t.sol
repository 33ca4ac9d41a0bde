// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DisputeState, ParkingSettlement, Settlement} from "../src/ParkingSettlement.sol";
import {Space, Standing} from "../src/SpaceRegistry.sol";
import {City} from "./support/City.sol";

/// @notice Parking in random order: spaces registered, suspended, resumed and handed over; days settled,
/// repeated, disputed, decided and corrected; time passing and pauses. What is accepted is written down here
/// a second time.
contract Garage is City {
    uint160 private constant PARTIES = 4;

    bytes32[] private ids;
    mapping(bytes32 id => bytes) private inputs;
    mapping(bytes32 id => uint256) private opened;
    mapping(bytes32 id => uint256) private decided;
    mapping(uint160 party => int256) private earned;
    uint32 private part;
    uint256 private acts;
    bool private paused;
    bytes32 private atPause;

    bytes32[3] private bays = [keccak256("bay 1"), keccak256("bay 2"), keccak256("bay 3")];

    function setUp() public override {
        super.setUp();
        vm.warp(1_000_000);
    }

    // ------------------------------------------------------------------------------------ settling

    /// @dev Nets drawn from words; the last party balances them, except now and then.
    function settle(uint256 seed, int48[3] memory nets, uint256 line) external {
        int256 sum = seed % 5 == 0 ? int256(1) : int256(0);
        bytes memory records;
        for (uint160 i = 0; i < PARTIES; ++i) {
            int64 net = i < 3 ? int64(nets[i]) : int64(-sum);
            if (i < 3) sum += net;
            records = bytes.concat(
                records, abi.encodePacked(i + 1, uint32(line % 3) + 1, net, keccak256(abi.encode(seed, i)))
            );
        }
        Settlement memory head = Settlement("north", 20_779, part, 0);
        if (ids.length > 0 && seed % 3 == 0) head.corrects = ids[seed % ids.length];
        bytes32 id = settlements.settlementIdOf(head);
        vm.prank(SENDER);
        (bool ok,) = address(settlements).call(abi.encodeCall(ParkingSettlement.settle, (head, records)));
        require(ok == (!paused && seed % 5 != 0), "taken iff it sums to zero and nothing is paused");
        if (!ok) return;
        part += 1;
        ids.push(id);
        inputs[id] = abi.encode(head, records);
        for (uint160 i = 0; i < PARTIES; ++i) {
            earned[i + 1] += settlements.statementOf(id, bytes20(i + 1)).net;
        }
    }

    function repeat(uint256 seed, bool changed) external {
        if (ids.length == 0) return;
        bytes32 id = ids[seed % ids.length];
        (Settlement memory head, bytes memory records) = abi.decode(inputs[id], (Settlement, bytes));
        if (changed) records[records.length - 1] ^= 0x01;
        vm.prank(SENDER);
        (bool ok, bytes memory answer) =
            address(settlements).call(abi.encodeCall(ParkingSettlement.settle, (head, records)));
        require(ok == (!paused && !changed), "the same again, or a conflict");
        require(!ok || !abi.decode(answer, (bool)), "a settlement had a second effect");
    }

    function dispute(uint256 seed, uint32 line) external {
        if (ids.length == 0) return;
        bytes32 id = ids[seed % ids.length];
        bytes20 party = bytes20(uint160(seed >> 8) % (PARTIES + 1) + 1);
        line %= 4;
        bool fits = line < settlements.statementOf(id, party).lineCount
            && block.timestamp < settlements.settlement(id).disputableUntil && !paused;
        bool again = settlements.disputeOf(id, party, line).state != DisputeState.None;
        vm.prank(SENDER);
        (bool ok, bytes memory answer) = address(settlements)
            .call(abi.encodeCall(ParkingSettlement.openDispute, (id, party, line, keccak256("claim"))));
        require(ok == (again ? !paused : fits), "disputed iff there is such a line, in time");
        if (ok && abi.decode(answer, (bool))) opened[id] += 1;
    }

    function decide(uint256 seed, uint32 line, bool upheld) external {
        if (ids.length == 0) return;
        bytes32 id = ids[seed % ids.length];
        bytes20 party = bytes20(uint160(seed >> 8) % PARTIES + 1);
        bytes32 correction = upheld ? ids[(seed >> 16) % ids.length] : bytes32(0);
        bool open = settlements.disputeOf(id, party, line % 3).state == DisputeState.Open;
        bool fits = !upheld || settlements.settlement(correction).corrects == id;
        vm.prank(GOVERNMENT);
        (bool ok, bytes memory answer) = address(settlements).call(
            abi.encodeCall(
                ParkingSettlement.resolveDispute, (id, party, line % 3, upheld, keccak256("decision"), correction)
            )
        );
        if (open) require(ok == (fits && !paused), "decided iff the correction fits");
        if (ok && abi.decode(answer, (bool))) decided[id] += 1;
    }

    // ------------------------------------------------------------------------------------ rights

    function actOnRight(uint256 seed, uint32 number) external {
        bytes32 bay = bays[seed % 3];
        bytes20 from = bytes20(uint160(seed >> 8) % 3 + 1);
        bytes20 to = bytes20(uint160(seed >> 16) % 3 + 1);
        (,, uint32 seq,,,) = spaces.rightOf(bay);
        if (number % 4 != 0) number = seq + 1;
        uint256 which = (seed >> 24) % 5;
        bytes memory input;
        if (which == 0) {
            Space[] memory list = new Space[](1);
            list[0] = Space(bay, from, "lot", "policy");
            input = abi.encodeCall(spaces.register, (list));
        }
        if (which == 1) input = abi.encodeCall(spaces.suspend, (bay, number, bytes32(seed)));
        if (which == 2) input = abi.encodeCall(spaces.resume, (bay, number));
        if (which == 3) input = abi.encodeCall(spaces.handOver, (bay, number, from, to, bytes32(seed | 1)));
        if (which == 4) input = abi.encodeCall(spaces.setPolicy, (bay, number, bytes32(seed | 1)));
        vm.prank(SENDER);
        (bool ok, bytes memory answer) = address(spaces).call(input);
        require(!ok || !paused, "an act while paused");
        if (ok && abi.decode(answer, (uint256)) == 1) acts += 1;
    }

    function wait(uint32 time) external {
        vm.warp(block.timestamp + time % 3 days);
    }

    function pause(uint256 seed) external {
        if (!paused && seed % 8 != 0) return;
        vm.prank(AUDITOR);
        if (paused) spaces.unpause();
        else spaces.pause();
        vm.prank(AUDITOR);
        if (paused) settlements.unpause();
        else settlements.pause();
        paused = !paused;
        atPause = _picture();
    }

    function _picture() private view returns (bytes32 picture) {
        for (uint256 i = 0; i < ids.length; ++i) {
            picture = keccak256(abi.encode(picture, settlements.settlement(ids[i])));
        }
        for (uint256 i = 0; i < 3; ++i) {
            (bytes20 owner, Standing standing, uint32 seq,, bytes32 policy,) = spaces.rightOf(bays[i]);
            picture = keccak256(abi.encode(picture, owner, standing, seq, policy));
        }
    }

    // ------------------------------------------------------------------------------------ what must hold

    function requireZeroSum() external view {
        int256 all;
        for (uint160 i = 1; i <= PARTIES; ++i) {
            int256 sum;
            for (uint256 n = 0; n < ids.length; ++n) {
                sum += settlements.statementOf(ids[n], bytes20(i)).net;
            }
            require(sum == earned[i], "a settlement was changed, or had a second effect");
            all += sum;
        }
        require(all == 0, "a fen was made or lost");
    }

    function requireOpenDisputesAreCounted() external view {
        for (uint256 n = 0; n < ids.length; ++n) {
            uint256 ofParties;
            for (uint160 i = 1; i <= PARTIES; ++i) {
                ofParties += settlements.statementOf(ids[n], bytes20(i)).disputesOpen;
            }
            uint256 open = opened[ids[n]] - decided[ids[n]];
            require(settlements.settlement(ids[n]).disputesOpen == open && ofParties == open, "open disputes");
            require(!settlements.isFinal(ids[n]) || open == 0, "final with an open dispute");
        }
    }

    function requireActsAreCounted() external view {
        uint256 seqs;
        for (uint256 i = 0; i < 3; ++i) {
            (bytes20 owner, Standing standing, uint32 seq,,,) = spaces.rightOf(bays[i]);
            require((owner == 0) == (standing == Standing.Unknown) && (seq == 0) == (owner == 0), "half a right");
            seqs += seq;
        }
        require(seqs == acts, "an act was counted twice or not at all");
    }

    function requireNothingMovedWhilePaused() external view {
        require(!paused || _picture() == atPause, "something moved while paused");
    }
}

contract ParkingInvariantTest {
    Garage private garage;

    function setUp() public {
        garage = new Garage();
        garage.setUp();
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory acts = new bytes4[](7);
        acts[0] = Garage.settle.selector;
        acts[1] = Garage.repeat.selector;
        acts[2] = Garage.dispute.selector;
        acts[3] = Garage.decide.selector;
        acts[4] = Garage.actOnRight.selector;
        acts[5] = Garage.wait.selector;
        acts[6] = Garage.pause.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(garage), acts);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(garage);
    }

    function invariant_no_fen_is_made_or_lost() external view {
        garage.requireZeroSum();
    }

    function invariant_open_disputes_are_counted() external view {
        garage.requireOpenDisputesAreCounted();
    }

    function invariant_an_act_on_a_right_has_one_effect() external view {
        garage.requireActsAreCounted();
    }

    function invariant_nothing_moves_while_paused() external view {
        garage.requireNothingMovedWhilePaused();
    }
}
