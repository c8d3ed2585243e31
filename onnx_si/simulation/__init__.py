"""The paper's experiment, and a user's check of their own model: how often does each test reject?"""
