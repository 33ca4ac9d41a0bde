// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {ERC1967Utils} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Utils.sol";
import {CarbonPoints} from "../src/CarbonPoints.sol";
import {EvidenceAnchor} from "../src/EvidenceAnchor.sol";
import {Governed, RoleHolders} from "../src/Governed.sol";
import {IRuleRegistry} from "../src/IRuleRegistry.sol";
import {ParkingSettlement} from "../src/ParkingSettlement.sol";
import {RuleRegistry} from "../src/RuleRegistry.sol";
import {Space, SpaceRegistry} from "../src/SpaceRegistry.sol";
import {City} from "./support/City.sol";

/// @notice The next version of a contract, with one function more.
contract CarbonPointsNext is CarbonPoints {
    function generation() external pure returns (uint256) {
        return 2;
    }
}

contract UpgradeTest is City {
    bytes32 private constant IMPLEMENTATION = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;

    function _upgrade(address implementation) private pure returns (bytes memory) {
        return abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (implementation, ""));
    }

    function test_an_upgrade_keeps_balances_batches_budgets_and_roles() public {
        _post(_batch(1, 0), _record(1, 100));
        _post(_batch(2, 10), _record(1, 30));
        address next = address(new CarbonPointsNext());
        bytes32 codeHash = address(points).codehash;
        vm.prank(UPGRADER);
        points.upgradeToAndCall(next, "");
        require(CarbonPointsNext(address(points)).generation() == 2, "new code");
        require(address(points).codehash == codeHash, "proxy code never changes");
        require(address(uint160(uint256(vm.load(address(points), IMPLEMENTATION)))) == next, "ERC-1967 slot");
        _requireAccount(1, 100, 30, 0, 2);
        (bool known,,,,) = points.batch(points.batchIdOf(_batch(1, 0)));
        (uint64 cap, uint64 used) = points.budget(PROGRAMME);
        require(known && cap == 1_000_000 && used == 100, "state");
        require(!_post(_batch(1, 0), _record(1, 100)), "idempotent across the upgrade");
        require(_post(_batch(2, 20), _record(1, 70)), "sender still allowed");
    }

    function test_all_proxies_have_the_same_code() public view {
        address[5] memory proxies = _proxies();
        for (uint256 i = 1; i < 5; ++i) {
            require(proxies[i].codehash == proxies[0].codehash);
        }
    }

    function test_what_is_not_an_implementation_is_refused() public {
        _refused(
            address(points),
            UPGRADER,
            _upgrade(address(this)),
            abi.encodeWithSelector(ERC1967Utils.ERC1967InvalidImplementation.selector, address(this))
        );
    }

    function test_a_contract_is_initialised_once_and_only_behind_its_proxy() public {
        bytes memory again = _named(Initializable.InvalidInitialization.selector);
        address[] memory none = new address[](0);
        bytes[5] memory inputs = [
            abi.encodeCall(CarbonPoints.initialize, (_holders(), registry)),
            abi.encodeCall(RuleRegistry.initialize, (_holders(), none)),
            abi.encodeCall(EvidenceAnchor.initialize, (_holders())),
            abi.encodeCall(SpaceRegistry.initialize, (_holders())),
            abi.encodeCall(ParkingSettlement.initialize, (_holders(), 1))
        ];
        address[5] memory proxies = _proxies();
        address[5] memory bare = [
            address(new CarbonPoints()),
            address(new RuleRegistry()),
            address(new EvidenceAnchor()),
            address(new SpaceRegistry()),
            address(new ParkingSettlement())
        ];
        for (uint256 i = 0; i < 5; ++i) {
            _refused(proxies[i], STRANGER, inputs[i], again);
            _refused(bare[i], STRANGER, inputs[i], again);
        }
    }

    function test_every_role_needs_a_holder() public {
        address implementation = address(new EvidenceAnchor());
        for (uint256 i = 0; i < 5; ++i) {
            RoleHolders memory holders = _holders();
            if (i == 0) holders.admin = address(0);
            if (i == 1) holders.government = address(0);
            if (i == 2) holders.auditor = address(0);
            if (i == 3) holders.upgrader = address(0);
            if (i == 4) holders.chainSenders[0] = address(0);
            try this.deploy(implementation, abi.encodeCall(EvidenceAnchor.initialize, (holders))) {
                revert("was accepted");
            } catch (bytes memory answer) {
                require(bytes4(answer) == Governed.GovernedHolderMissing.selector);
            }
        }
    }

    function test_points_need_a_registry_that_is_a_contract() public {
        address implementation = address(new CarbonPoints());
        try this.deploy(
            implementation, abi.encodeCall(CarbonPoints.initialize, (_holders(), IRuleRegistry(STRANGER)))
        ) {
            revert("was accepted");
        } catch (bytes memory answer) {
            require(bytes4(answer) == CarbonPoints.CarbonPointsRegistryMissing.selector);
        }
        require(address(points.ruleRegistry()) == address(registry));
    }

    function test_settlements_need_a_dispute_window() public {
        address implementation = address(new ParkingSettlement());
        try this.deploy(implementation, abi.encodeCall(ParkingSettlement.initialize, (_holders(), 0))) {
            revert("was accepted");
        } catch (bytes memory answer) {
            require(bytes4(answer) == ParkingSettlement.ParkingSettlementWindowMissing.selector);
        }
    }

    function deploy(address implementation, bytes calldata data) external returns (address) {
        return _proxy(implementation, data);
    }

    /// @dev Namespaces are where ERC-7201 puts them; nothing else is stored by our contracts.
    function test_namespaces_follow_erc7201() public {
        bytes32 location = _namespace("tanhui.storage.EvidenceAnchor");
        vm.prank(SENDER, SENDER);
        anchors.anchor(5, keccak256("five"), 0);
        require(uint256(vm.load(address(anchors), bytes32(uint256(location) + 1))) == 5, "anchor");
        location = _namespace("tanhui.storage.CarbonPoints");
        require(
            address(uint160(uint256(vm.load(address(points), bytes32(uint256(location) + 4))))) == address(registry),
            "points"
        );
        location = _namespace("tanhui.storage.RuleRegistry");
        bytes32 slot = keccak256(abi.encode(vm.addr(KEY_A), uint256(location) + 1));
        require(uint256(vm.load(address(registry), slot)) == 1, "registry");
        location = _namespace("tanhui.storage.ParkingSettlement");
        bytes32 window = vm.load(address(settlements), bytes32(uint256(location) + 3));
        require(uint256(window) == DISPUTE_SECONDS, "settlements");
        location = _namespace("tanhui.storage.SpaceRegistry");
        Space[] memory list = new Space[](1);
        list[0] = Space("bay", bytes20(uint160(1)), "lot", "policy");
        vm.prank(SENDER);
        spaces.register(list);
        require(uint256(vm.load(address(spaces), bytes32(uint256(location) + 1))) == 1, "spaces");
    }

    function _namespace(string memory name) private pure returns (bytes32) {
        return keccak256(abi.encode(uint256(keccak256(bytes(name))) - 1)) & ~bytes32(uint256(0xff));
    }
}
