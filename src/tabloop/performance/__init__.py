"""What decisions are worth, estimated without outcomes and realized with them."""
