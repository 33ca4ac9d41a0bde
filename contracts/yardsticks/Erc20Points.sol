// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice The plainest published way to award points: an ERC-20 token, one `mint` per action. A yardstick of
/// `tanhui bench gas` and `chain`, never deployed by the product.
contract Erc20Points is ERC20 {
    address private immutable minter = msg.sender;

    error Erc20PointsNotMinter(address caller);

    constructor() ERC20("Points", "PTS") {}

    /// @notice One award to one account.
    function mint(address account, uint256 amount) external {
        if (msg.sender != minter) revert Erc20PointsNotMinter(msg.sender);
        _mint(account, amount);
    }
}
